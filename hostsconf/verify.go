package hostsconf

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/sirupsen/logrus"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/managedfile"
)

// ErrReadBack reports that containerd's own reader does not see in a rendered
// file what it was rendered from. The file is not installed.
var ErrReadBack = errors.New("containerd would read other hosts than were meant")

// verify reads files back with containerd's own package and compares host by
// host: containerd does not report a bad file, it goes to the upstream instead.
// hosts.toml is the last of files. They lie in memory; stage is a directory that gets links to them, and is
// emptied again.
func verify(stage string, d Directory, files []managedfile.File) error {
	standIns, err := d.standIns(files[len(files)-1].Path)
	if err != nil {
		return err
	}
	memory, err := link(stage, slices.Concat(files, standIns))
	defer memory.release()
	if err != nil {
		return err
	}
	got, err := readHosts(filepath.Join(stage, DirName(d.Upstream)), sampleHost(d.Upstream))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", d.Upstream, ErrReadBack, err)
	}
	want := d.hosts()
	if len(got) != len(want) {
		return fmt.Errorf("%s: %w: it sees %d hosts instead of %d", d.Upstream, ErrReadBack, len(got), len(want))
	}
	for i := range want {
		if err := compare(want[i], got[i], d.ownRule() && i == len(want)-1); err != nil {
			return fmt.Errorf("%s: %w: host %d: %w", d.Upstream, ErrReadBack, i+1, err)
		}
	}
	return nil
}

// sampleHost is an image's registry for which containerd uses the directory.
func sampleHost(upstream string) string {
	if upstream == Default {
		return "registry.example"
	}
	return upstream
}

// hosts lists what containerd will ask, in order, with what it does by itself
// where no server is given.
func (d Directory) hosts() []Host {
	last := Host{URL: UpstreamURL(sampleHost(d.Upstream), d.ownRule() && hostport.Port(d.Upstream) == "80"), TLS: TLS{Foreign: d.Foreign}}
	if d.Server != nil {
		last = *d.Server
	}
	return append(slices.Clone(d.Hosts), last)
}

// ownRule reports whether containerd goes by its own rule for registries on this
// machine, see ConfigureHosts in core/remotes/docker/config: http on port 80, and
// https without verification on others; on those but 443 then http.
func (d Directory) ownRule() bool {
	return d.Server == nil && hostport.IsLoopback(d.Upstream)
}

// readHosts is the newest containerd's reading of one directory below certs.d.
func readHosts(dir, registry string) ([]docker.RegistryHost, error) {
	return Newest.readAt(dir, registry, nil)
}

// skippedError reports a file that containerd logs about and then ignores.
type skippedError struct{ cause error }

func (e *skippedError) Error() string { return "containerd ignores the file: " + e.cause.Error() }
func (e *skippedError) Unwrap() error { return e.cause }

// logErrors keeps the first thing that containerd logged as an error.
type logErrors struct{ cause error }

func (c *logErrors) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel}
}

func (c *logErrors) Fire(e *logrus.Entry) error {
	if c.cause != nil {
		return nil
	}
	c.cause = errors.New("it says no more")
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		c.cause = parseError(err)
	}
	return nil
}

// compare says where containerd does not see what was meant. With ownRule the
// way to verify the host is containerd's.
func compare(want Host, got docker.RegistryHost, ownRule bool) error {
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
	if want.URL.Scheme != "https" || ownRule {
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
	ca, clients := want.TLS.CA != nil, 0
	if want.TLS.Cert != nil {
		clients++
	}
	if theirs := want.TLS.Foreign; theirs != nil {
		ca = ca || len(theirs.CA) > 0
		clients += len(theirs.Client)
	}
	if (tls.RootCAs != nil) != ca {
		return fmt.Errorf("its CA is not the one that was meant")
	}
	if len(tls.Certificates) != clients {
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
