package trace

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node"
)

func TestLook(t *testing.T) {
	const wired = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/certs'\n"
	const list = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = %\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"
	for _, c := range []struct {
		name, config string
		dirs         []string // below the root
		refused      string
		note         string
	}{
		{"nothing is there", "", []string{"/etc/elsewhere"}, "", "no-containerd"},
		{"wired", wired, []string{"/etc/certs"}, "", ""},
		{"unset: the pair", "version = 3\n", nil, "", "config-path-list"},
		{"list with local pull", strings.Replace(list, "%", "true", 1), []string{"/a", "/b"}, "", "config-path-list"},
		{"list without", strings.Replace(list, "%", "false", 1), nil, "", "config-path-list"},
		{"mirrors beside", wired + "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\nendpoint = ['https://m']\n", []string{}, "does not load", "mirrors-beside-config-path"},
		{"no TOML", "version = [\n", nil, "config.toml", "unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := nodefs.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			write := func(name, text string, mode os.FileMode) {
				t.Helper()
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			m := node.Machine{Root: root}
			if c.config != "" {
				write(node.DefaultConfigPath, c.config, 0o600)
				write("proc/7/comm", "containerd\n", 0o600)
				write("proc/7/cmdline", "containerd\x00", 0o600)
				write("proc/7/environ", "HTTPS_PROXY=http://of-containerd:1\x00", 0o600)
				m.Proc = filepath.Join(dir, "proc")
				m.Version = func(context.Context, string) (string, error) { return "containerd v2.4.2", nil }
			}
			n, err := Look(t.Context(), m, "/etc/elsewhere", func(name string) string {
				if name == "HTTPS_PROXY" {
					return "http://of-this-command:1"
				}
				return ""
			})
			if err != nil {
				t.Fatal(err)
			}
			var dirs []string
			for _, d := range n.CertsDirs {
				dirs = append(dirs, strings.TrimPrefix(d, dir))
			}
			if !slices.Equal(dirs, c.dirs) {
				t.Errorf("directories %q, want %q", dirs, c.dirs)
			}
			if !strings.Contains(n.Refused, c.refused) || (n.Refused == "") != (c.refused == "") {
				t.Errorf("refused: %q, want %q", n.Refused, c.refused)
			}
			noted := slices.ContainsFunc(n.Notes, func(x Note) bool { return x.ID == c.note })
			if noted != (c.note != "") {
				t.Errorf("notes %+v, want %q", n.Notes, c.note)
			}
			proxy := map[bool]string{true: "http://of-containerd:1", false: "http://of-this-command:1"}[c.config != ""]
			if n.Proxy.HTTPS.Reveal() != proxy {
				t.Errorf("the proxy is %q", n.Proxy.HTTPS.Reveal())
			}
		})
	}
}

// The directories of a list are tried in order, each with its _default.
func TestListOfDirectories(t *testing.T) {
	w := newFixture(t)
	empty := t.TempDir()
	w.Node.CertsDirs = []string{empty, w.dir}
	w.mirrors(w.mirror.URL)
	if r := w.Image(t.Context(), w.name); r.Verdict.Host != w.mirror.addr() || r.CertsDir != w.dir {
		t.Errorf("%+v", r)
	}
	if err := os.Mkdir(filepath.Join(empty, "_default"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := w.Image(t.Context(), w.name); r.Verdict.Host != w.up.addr() || r.Directory != "_default" {
		t.Errorf("%+v", r)
	}
}

// With a changed and not yet loaded configuration the verdict is unknown, and says what it would
// be.
func TestUnloaded(t *testing.T) {
	const why = "/etc/containerd/config.toml was changed after containerd was started, and is read only then"
	w := newFixture(t)
	w.Node.Unloaded = why
	r := w.Image(t.Context(), w.name)
	want := "unknown: " + why + "; with the present files, " + w.up.addr() + ", the registry itself, will serve it"
	if v := r.Verdict; v.Serves || !v.Unknown || v.Host != "" || v.Text != want {
		t.Errorf("%+v, want %q", v, want)
	}
	if r := w.Image(t.Context(), "http://nowhere"); strings.Contains(r.Verdict.Text, why) {
		t.Errorf("for no image at all: %+v", r.Verdict)
	}

	// kubelet's configuration counts only if kubelet could pass a credential.
	w.Node.Unloaded, w.KubeletUnloaded = "", "kubelet is old"
	if v := w.Image(t.Context(), w.name).Verdict; !v.Serves {
		t.Errorf("without a credential: %+v", v)
	}
	w.Explain = func(context.Context, string) (credprovider.Explanation, error) {
		return credprovider.Explanation{Credential: &credprovider.Credential{Username: "u", Password: redact.New("p"), Rule: "login x"}}, nil
	}
	w.Unasked = func(string) string { return "" }
	if v := w.Image(t.Context(), w.name).Verdict; v.Serves || !strings.HasPrefix(v.Text, "unknown: kubelet is old; with the present files, ") {
		t.Errorf("with a credential: %+v", v)
	}
}

// How long each request waits depends on the measured time and on the release.
func TestWait(t *testing.T) {
	for _, c := range []struct {
		release string
		dialed  time.Duration
		written bool
		want    string
	}{
		{"2.4.2", 2 * time.Second, false, "mirror.corp first, for 2s"},
		{"2.4.2", 0, false, "mirror.corp first, for its dial_timeout or 30s"},
		{"1.7.28", 2 * time.Second, false, "mirror.corp first, for 30s"},
		{"2.0.6", 2 * time.Second, false, "mirror.corp first, for 30s"},
		{"2.4.2", 0, true, "mirror.corp first, for 30s"},
		{"", 2 * time.Second, false, "mirror.corp first, for 2s"},
	} {
		n := Node{}
		n.Release, _ = containerdconf.ParseRelease(c.release)
		p := Probe{waits: true, wait: n.wait(&recording{dialed: c.dialed}, exchange{written: c.written})}
		if got := slowness(Host{URL: "https://mirror.corp", Resolve: p}); got != c.want {
			t.Errorf("containerd %q: %q, want %q", c.release, got, c.want)
		}
	}
}

// timeout is the error of a dialer that timed out.
type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// The measured limit is the one that ended the dial: containerd's, not the timeout of this command.
func TestDialTimeIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ limit, want time.Duration }{{2 * time.Second, 2 * time.Second}, {time.Hour, 0}} {
			tape := &recording{}
			ctx, cancel := context.WithTimeout(withRecording(t.Context(), tape), 5*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mirror.corp/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			dialer := roundTripper(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(c.limit):
				case <-r.Context().Done():
				}
				return nil, &net.OpError{Op: "dial", Err: timeout{}}
			})
			_, err = recorder{inner: dialer}.RoundTrip(req)
			if err == nil || tape.dialed != c.want {
				t.Errorf("%s, %v, want %s", tape.dialed, err, c.want)
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
