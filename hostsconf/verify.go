package hostsconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/ownedfile"
)

// ErrReadBack reports that containerd's own reader does not see in a rendered
// file what it was rendered from. The file is not installed.
var ErrReadBack = errors.New("containerd would read other hosts than were meant")

// verify reads files back with containerd's own package and compares host by
// host: containerd does not report a bad file, it goes to the upstream instead.
// The files lie in memory; stage is a directory that gets links to them, and is
// emptied again.
func verify(stage string, d Directory, files []ownedfile.File) error {
	memory, err := link(stage, files)
	defer memory.release()
	if err != nil {
		return err
	}
	got, err := readHosts(filepath.Join(stage, DirName(d.Upstream)), sampleName(d.Upstream))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", d.Upstream, ErrReadBack, err)
	}
	want := d.hosts()
	if len(got) != len(want) {
		return fmt.Errorf("%s: %w: it sees %d hosts instead of %d", d.Upstream, ErrReadBack, len(got), len(want))
	}
	for i := range want {
		if err := compare(want[i], got[i]); err != nil {
			return fmt.Errorf("%s: %w: host %d: %w", d.Upstream, ErrReadBack, i+1, err)
		}
	}
	return nil
}

// sampleName is an image's registry for which containerd uses the directory.
func sampleName(upstream string) string {
	if upstream == Default {
		return "registry.example"
	}
	return upstream
}

// hosts lists what containerd will ask, in order, with what it does by itself
// where no server is given.
func (d Directory) hosts() []Host {
	last := Host{URL: UpstreamURL(sampleName(d.Upstream), false)}
	if d.Server != nil {
		last = *d.Server
	}
	return append(slices.Clone(d.Hosts), last)
}

// readHosts is containerd's reading of one directory below certs.d. What it
// logs instead of returning becomes the error; nothing is printed.
func readHosts(dir, registry string) ([]docker.RegistryHost, error) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	complaints := &complaints{}
	logger.AddHook(complaints)
	ctx := log.WithLogger(context.Background(), logrus.NewEntry(logger))
	hosts, err := dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
		HostDir: func(string) (string, error) { return dir, nil },
	})(registry)
	if err != nil {
		return nil, fileError(dir, err)
	}
	if complaints.cause != nil {
		return hosts, &skippedError{complaints.cause}
	}
	return hosts, nil
}

// skippedError reports a file that containerd logs about and then ignores.
type skippedError struct{ cause error }

func (e *skippedError) Error() string { return "containerd ignores the file: " + e.cause.Error() }
func (e *skippedError) Unwrap() error { return e.cause }

// complaints keeps the first thing that containerd logged as an error.
type complaints struct{ cause error }

func (c *complaints) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel}
}

func (c *complaints) Fire(e *logrus.Entry) error {
	if c.cause != nil {
		return nil
	}
	c.cause = errors.New("it says no more")
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		c.cause = parseError(err)
	}
	return nil
}

func compare(want Host, got docker.RegistryHost) error {
	address := func(scheme, host, path string) string { return scheme + "://" + host + path }
	w, g := address(want.URL.Scheme, want.URL.Host, want.URL.APIPath()), address(got.Scheme, got.Host, got.Path)
	if w != g {
		return fmt.Errorf("requests go to %s instead of %s", g, w)
	}
	if caps := capabilities(want.Capabilities); caps != got.Capabilities {
		return fmt.Errorf("capabilities are %b instead of %b", got.Capabilities, caps)
	}
	header := http.Header(maps.Clone(want.Header))
	if !want.Authorization.IsZero() {
		if header == nil {
			header = http.Header{}
		}
		header["Authorization"] = []string{want.Authorization.Reveal()}
	}
	if !maps.EqualFunc(header, got.Header, slices.Equal[[]string]) {
		return fmt.Errorf("its headers are not the ones that were meant")
	}
	if want.URL.Scheme != "https" {
		return nil
	}
	transport, ok := got.Client.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("it is reached in another way than by plain TLS")
	}
	tls := transport.TLSClientConfig
	// containerd itself does not verify a registry on this machine.
	if !hostport.IsLoopback(want.URL.Host) && tls.InsecureSkipVerify != want.TLS.SkipVerify {
		return fmt.Errorf("skip_verify is %t", tls.InsecureSkipVerify)
	}
	if (tls.RootCAs != nil) != (want.TLS.CA != nil) {
		return fmt.Errorf("its CA is not the one that was meant")
	}
	if (len(tls.Certificates) > 0) != (want.TLS.Cert != nil) {
		return fmt.Errorf("its client certificate is not the one that was meant")
	}
	return nil
}

func capabilities(names []string) docker.HostCapabilities {
	if len(names) == 0 {
		return docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush | docker.HostCapabilityReferrers
	}
	var c docker.HostCapabilities
	for _, name := range names {
		switch name {
		case "pull":
			c |= docker.HostCapabilityPull
		case "resolve":
			c |= docker.HostCapabilityResolve
		case "push":
			c |= docker.HostCapabilityPush
		}
	}
	return c
}
