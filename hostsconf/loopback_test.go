package hostsconf

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
)

// TestLoopbackAsWithoutFile compares how containerd reaches a registry on loopback behind a
// mirror, and with no mirror left, with how it reaches the same registry without any file.
func TestLoopbackAsWithoutFile(t *testing.T) {
	for _, upstream := range []string{
		"localhost", "localhost:80", "localhost:443", "localhost:5000",
		"127.0.0.1", "127.0.0.1:80", "127.0.0.1:443", "127.0.0.1:5000", "127.9.9.9:5000",
		"[::1]", "[::1]:80", "[::1]:443", "[::1]:5000",
	} {
		bare, err := dockerconfig.ConfigureHosts(context.Background(), dockerconfig.HostOptions{})(upstream)
		if err != nil {
			t.Fatal(err)
		}
		want := reached(t, bare[0])
		for _, hosts := range [][]Host{nil, {mirror(t, "https://mirror.corp")}} {
			dir := Directory{Upstream: upstream, Hosts: hosts}
			certs := t.TempDir()
			desired, err := Build(certs, []Directory{dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(t.TempDir(), dir, desired.files); err != nil {
				t.Errorf("%s: %v", upstream, err)
			}
			file := desired.files[0]
			if err := os.MkdirAll(filepath.Dir(file.Path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file.Path, file.Body, 0o600); err != nil {
				t.Fatal(err)
			}
			seen, err := dockerconfig.ConfigureHosts(context.Background(), dockerconfig.HostOptions{
				HostDir: dockerconfig.HostDirFromRoot(certs),
			})(upstream)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) != len(hosts)+1 {
				t.Fatalf("%s: containerd sees %d hosts", upstream, len(seen))
			}
			if got := reached(t, seen[len(hosts)]); got != want {
				t.Errorf("%s: containerd reaches it as %+v, and without a file as %+v", upstream, got, want)
			}
		}
	}
}

// reach describes how containerd reaches a host.
type reach struct {
	url               string
	fallback, trusted bool
}

func reached(t *testing.T, h docker.RegistryHost) reach {
	t.Helper()
	r := reach{url: h.Scheme + "://" + h.Host + h.Path}
	transport := reflect.ValueOf(h.Client.Transport).Elem()
	if _, plain := h.Client.Transport.(*http.Transport); !plain {
		// containerd's fallback to http keeps the transport in a field.
		r.fallback = true
		transport = transport.FieldByName("super").Elem().Elem()
	}
	r.trusted = transport.FieldByName("TLSClientConfig").Elem().FieldByName("InsecureSkipVerify").Bool()
	return r
}
