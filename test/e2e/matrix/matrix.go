// Package matrix pulls with a real containerd past every form of foreign hosts.toml file. It
// compares the hosts that containerd asks with hostsconf's prediction for that release, and the
// hosts that receive kubelet's credential with those that the credential provider allows.
package matrix

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/foreignforms"
	"github.com/berth-registry/berth/test/pki"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	repository = "team/app"
	reference  = foreignforms.Registry + "/" + repository + ":v1"
	username   = "robot"
	password   = "kubelets-credential"
	// pullTime is far more than a refused pull on loopback takes.
	pullTime = 2 * time.Minute
)

// Result is the behaviour of one release with one form.
type Result struct {
	Form string
	Want []string // the addresses that hostsconf predicts, sorted
	Got  []string // those that were asked
	// Given says that the provider would give the credential away; Reached are
	// the hosts that are not the registry and were shown it.
	Given   bool
	Reached []string
}

// Crashes is the only entry of Want or Got if containerd crashes.
const Crashes = "crashes"

// Wrong returns the fault, or "".
func (r Result) Wrong() string {
	switch {
	case !slices.Equal(r.Want, r.Got):
		return fmt.Sprintf("asked were %q, and hostsconf says %q", r.Got, r.Want)
	case r.Given && len(r.Reached) > 0:
		return fmt.Sprintf("the credential is given and reaches %q", r.Reached)
	}
	return ""
}

// Run tests the forms in order on one containerd and calls each with every result. An error is one
// of the bench itself.
func Run(ctx context.Context, program parts.Containerd, runc string, forms []foreignforms.Form, each func(Result)) error {
	dir, err := os.MkdirTemp("", "berth-matrix-")
	if err != nil {
		return err
	}
	b := &bench{program: program, runc: runc, dir: dir, names: map[string]*upstream.Decoy{}}
	err = b.open()
	for _, form := range forms {
		if err != nil {
			break
		}
		var r Result
		if r, err = b.try(ctx, form); err == nil {
			each(r)
		}
	}
	return errors.Join(err, b.close(), os.RemoveAll(dir))
}

// bench is one daemon with the servers that it may ask.
type bench struct {
	program   parts.Containerd
	runc, dir string
	family    hostsconf.Family
	ca        *pki.CA
	proxy     *upstream.Proxy
	daemon    *containerd.Daemon
	names     map[string]*upstream.Decoy // by the address in a file
	addresses foreignforms.Addresses
}

func (b *bench) certsDir() string { return filepath.Join(b.dir, "certs.d") }

func (b *bench) open() error {
	var major, minor, patch int
	if _, err := fmt.Sscanf(b.program.Version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("release %q: %w", b.program.Version, err)
	}
	b.family = hostsconf.FamilyOf(major, minor, patch)
	var err error
	if b.ca, err = pki.New("authority of the matrix"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "roots.pem"), b.ca.PEM(), 0o644); err != nil {
		return err
	}
	if b.proxy, err = upstream.NewProxy(b.ca); err != nil {
		return err
	}
	// Each requires a login other than kubelet's, so every host is asked.
	refuses := upstream.Basic("nobody", "has this", upstream.Status(http.StatusNotFound))
	for _, address := range []string{foreignforms.Mirror, foreignforms.Second, foreignforms.OnPort, "https://mirror", "https://" + foreignforms.Registry} {
		if b.names[address], err = b.proxy.Decoy(strings.TrimPrefix(address, "https://"), refuses); err != nil {
			return err
		}
	}
	for ip, address := range map[string]*string{"127.0.0.1": &b.addresses.Plain, "::1": &b.addresses.IPv6} {
		d, err := upstream.Listen(ip, nil, refuses)
		if err != nil {
			return err
		}
		*address = "http://" + d.Addr()
		b.names[*address] = d
	}
	return nil
}

func (b *bench) close() error {
	errs := []error{b.stop()}
	for address, d := range b.names {
		if strings.HasPrefix(address, "http://") {
			errs = append(errs, d.Close())
		}
	}
	if b.proxy != nil {
		errs = append(errs, b.proxy.Close())
	}
	return errors.Join(errs...)
}

func (b *bench) stop() error {
	if b.daemon == nil {
		return nil
	}
	d := b.daemon
	b.daemon = nil
	return d.Close()
}

// start starts the daemon if it does not run.
func (b *bench) start(ctx context.Context) error {
	if b.daemon != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	var err error
	b.daemon, err = containerd.Start(ctx, b.program, containerd.Options{
		CertsDir: b.certsDir(), SandboxImage: "registry.k8s.io/pause:matrix", Runc: b.runc,
		Env: append(b.proxy.Env(), "SSL_CERT_FILE="+filepath.Join(b.dir, "roots.pem"), "SSL_CERT_DIR="+filepath.Join(b.dir, "none")),
	})
	return err
}

func (b *bench) try(ctx context.Context, form foreignforms.Form) (Result, error) {
	r := Result{Form: form.Name}
	if err := b.start(ctx); err != nil {
		return r, err
	}
	at := filepath.Join(b.certsDir(), foreignforms.Registry)
	err := errors.Join(os.RemoveAll(at), os.MkdirAll(at, 0o755),
		os.WriteFile(filepath.Join(at, "hosts.toml"), form.Content(b.addresses), 0o644),
		os.WriteFile(filepath.Join(at, foreignforms.CAFile), b.ca.PEM(), 0o644))
	if err != nil {
		return r, err
	}
	if r.Want, err = b.predicted(); err != nil {
		return r, err
	}
	r.Given = b.given()
	r.Got, r.Reached, err = b.asked(ctx)
	return r, err
}

// predicted returns the addresses that hostsconf predicts.
func (b *bench) predicted() ([]string, error) {
	resolution, err := b.family.Lookup(b.certsDir(), foreignforms.Registry)
	if errors.Is(err, hostsconf.ErrCrashes) {
		return []string{Crashes}, nil
	}
	if err != nil {
		return nil, nil // every pull fails, and no host is asked
	}
	asked := map[string]bool{}
	for _, h := range resolution.Hosts {
		if h.Pull && h.Resolve {
			scheme := h.Scheme
			if b.names["http://"+h.Host] != nil {
				scheme = "http" // with TLS keys https is tried first
			}
			asked[scheme+"://"+h.Host+path.Clean(h.Path)] = true
		}
	}
	return slices.Sorted(maps.Keys(asked)), nil
}

// given reports whether the provider returns a login of the registry: if no release reads another
// host from the file.
func (b *bench) given() bool {
	current := managedfile.Snapshot{
		Scope: hostsconf.Scope(hostsconf.ScopeName, b.certsDir(), false),
		Dirs:  []managedfile.ObservedDir{{Name: foreignforms.Registry, Entries: []string{foreignforms.CAFile, "hosts.toml"}}},
	}
	for _, r := range hostsconf.ForeignDirectories(b.certsDir(), nil, current) {
		for _, h := range r.Hosts {
			if h.Host != foreignforms.Registry {
				return false
			}
		}
	}
	return true
}

// asked pulls with a credential, as kubelet does. It returns the hosts that were asked, and those
// other than the registry that received the credential.
func (b *bench) asked(ctx context.Context) (asked, reached []string, err error) {
	before := map[string]int{}
	for address, d := range b.names {
		before[address] = len(d.Requests())
	}
	refused := len(b.proxy.Refused())
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	_, err = b.daemon.Pull(ctx, reference, &containerd.Credential{Username: username, Password: password})
	switch {
	case err == nil:
		return nil, nil, errors.New("a pull succeeded that every registry refuses")
	case ctx.Err() != nil:
		return nil, nil, fmt.Errorf("a pull does not end: %w\n%s", err, b.daemon.Log(0))
	case status.Code(err) == codes.Unavailable:
		select {
		case <-b.daemon.Ended():
			return []string{Crashes}, nil, b.stop()
		case <-time.After(pullTime):
			return nil, nil, fmt.Errorf("the daemon answers with %w", err)
		}
	}
	found, shown := map[string]bool{}, map[string]bool{}
	secret := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	for address, d := range b.names {
		for _, request := range d.Requests()[before[address]:] {
			found[address+strings.TrimSuffix(request.Path, "/"+repository+"/manifests/v1")] = true
			if strings.Contains(request.Header.Get("Authorization"), secret) && address != "https://"+foreignforms.Registry {
				shown[address] = true
			}
		}
	}
	for _, host := range b.proxy.Refused()[refused:] {
		found[host] = true
	}
	return slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(shown)), nil
}
