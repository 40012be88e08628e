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

// ErrReadBack reports that containerd's own reader sees other hosts in a rendered file than
// intended. The file is not installed.
var ErrReadBack = errors.New("containerd would read other hosts than intended")

// verify reads files back with containerd's own package and compares each host. containerd does
// not report a bad file; it asks the upstream instead. The last of files is hosts.toml. The files
// are kept in memory; symlinks to them are created below stage and removed again.
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

// sampleHost returns a registry for which containerd uses the directory of upstream.
func sampleHost(upstream string) string {
	if upstream == Default {
		return "registry.example"
	}
	return upstream
}

// hosts lists the hosts that containerd will ask, in order. Without a server, the last one is
// containerd's own default.
func (d Directory) hosts() []Host {
	last := Host{URL: UpstreamURL(sampleHost(d.Upstream), d.ownRule() && hostport.Port(d.Upstream) == "80"), TLS: TLS{Foreign: d.Foreign}}
	if d.Server != nil {
		last = *d.Server
	}
	return append(slices.Clone(d.Hosts), last)
}

// ownRule reports whether containerd applies its own rule for registries on loopback (see
// ConfigureHosts in core/remotes/docker/config): http on port 80; on other ports https without
// verification, then http except on port 443.
func (d Directory) ownRule() bool {
	return d.Server == nil && hostport.IsLoopback(d.Upstream)
}

// readHosts reads one directory below certs.d as the newest containerd does.
func readHosts(dir, registry string) ([]docker.RegistryHost, error) {
	return Newest.readAt(dir, registry, nil)
}

// skippedError reports a file that containerd logs an error about and then ignores.
type skippedError struct{ cause error }

func (e *skippedError) Error() string { return "containerd ignores the file: " + e.cause.Error() }
func (e *skippedError) Unwrap() error { return e.cause }

// logErrors keeps the first error that containerd logged.
type logErrors struct{ cause error }

func (c *logErrors) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel}
}

func (c *logErrors) Fire(e *logrus.Entry) error {
	if c.cause != nil {
		return nil
	}
	c.cause = errors.New("containerd logged no reason")
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		c.cause = parseError(err)
	}
	return nil
}

// compare returns an error if containerd sees another host than intended. With ownRule, TLS
// verification is not compared: containerd decides it.
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
		return fmt.Errorf("its headers differ from the intended ones")
	}
	if want.URL.Scheme != "https" || ownRule {
		return nil
	}
	transport, ok := got.Client.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("containerd would not reach it by TLS alone")
	}
	tls := transport.TLSClientConfig
	// containerd never verifies a registry on loopback.
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
		return fmt.Errorf("its CA differs from the intended one")
	}
	if len(tls.Certificates) != clients {
		return fmt.Errorf("its client certificate differs from the intended one")
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
