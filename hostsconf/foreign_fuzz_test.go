package hostsconf

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	old "github.com/containerd/containerd/remotes/docker/config"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// For any hosts.toml, each host that a release asks for the file itself is found in the copy, or
// the hosts count as unknown.
func FuzzForeign(f *testing.F) {
	for _, seed := range []string{
		"", "[host]\n", "server = \"https://a.corp\"\n", "no TOML", "[host.\"http://a.corp:5000\"]\n skip_verify = true\n",
		"ca = \"ca.pem\"\n[host.\"https://a.corp\"]\n", "[host.\"https://a.corp\"]\n client = [[\"c.pem\", \"k.pem\"], \"d.pem\"]\n",
		"CA = [\"gone\", \"../ca.pem\"]\n", "ca = 5\n", "[host.a]\nca=\"\"\n[host.a.header]\nx = [\"y\"]\n", "ca = \"/dev/zero\"\n",
		"server = \"quay.io\"\n[host.\"%zz\"]\n", "host = {a = {ca = \"/dev/zero\"}}\n", "[HOST.a]\nca = \"/dev/zero\"\n", "\xef\xbb\xbf[host]\n",
		"[host.\"https://a.corp\"]\n dial_timeout = 2\n", "[host]\n[host.a]\n capabilities = [\"pull\", \"Referrers\"]\n", "host.a.b = 1\nhost.c.ca = \"gone\"\n",
		"[host]\na = 1\n[host.b]\n", "[\"host\".\"https://a.corp\"]\n\"dial\\u005ftimeout\" = 2\n", "# \xff\x00\r[host.a]\r\n", "dial_timeout = 1\nserver = \"a.corp\"\n",
	} {
		f.Add([]byte(seed))
	}
	ca, _, _ := testCertificate(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		at := filepath.Join(dir, "quay.io")
		if err := errors.Join(os.Mkdir(at, 0o755), os.WriteFile(filepath.Join(at, fileName), content, 0o644), os.WriteFile(filepath.Join(at, "ca.pem"), ca, 0o644)); err != nil {
			t.Fatal(err)
		}
		theirs := &foreign{dir: dir, hostDir: certsDir}
		defer theirs.close()
		got := theirs.resolve("quay.io", "quay.io")
		if got.Ignored != nil {
			return
		}
		for family, err := range everyReading(at, "quay.io", func(h docker.RegistryHost) {
			want := resolved([]docker.RegistryHost{h})[0]
			if _, strict := h.Client.Transport.(*http.Transport); !strict {
				want.Scheme = "http" // containerd tries http too
			}
			if !slices.ContainsFunc(got.Hosts, func(h ResolvedHost) bool { return reflect.DeepEqual(h, want) }) {
				t.Errorf("%+v is asked, and not among %+v", want, got.Hosts)
			}
		}) {
			if err != nil && !errors.Is(err, ErrCrashes) {
				t.Errorf("containerd %s fails: %v; thought to be asked: %+v", family, err, got.Hosts)
			}
		}
	})
}

// everyReading calls asked with each host that the packages of containerd 1.7 and 2, and each
// family, find in the directory itself. The returned errors are those that fail a pull.
func everyReading(dir, registry string, asked func(docker.RegistryHost)) map[string]error {
	failed := map[string]error{}
	note := func(name string, hosts []docker.RegistryHost, err error) {
		failed[name] = err
		for _, h := range hosts {
			asked(h)
		}
	}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	ctx := log.WithLogger(context.Background(), logrus.NewEntry(logger))
	hostDir := func(string) (string, error) { return dir, nil }
	hosts, err := readV1(ctx, old.HostOptions{HostDir: hostDir}, registry)
	note("1.7 itself", hosts, err)
	hosts, err = dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{HostDir: hostDir})(registry)
	note("2 itself", hosts, err)
	for _, f := range Families() {
		hosts, err = f.RegistryHosts(dir, registry, nil)
		note(f.String(), hosts, err)
	}
	return failed
}
