package hostsconf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Whatever a hosts.toml says, the copy that is checked reads as the file
// itself does, or who is asked counts as unknown.
func FuzzForeign(f *testing.F) {
	for _, seed := range []string{
		"", "[host]\n", "server = \"https://a.corp\"\n", "no TOML", "[host.\"http://a.corp:5000\"]\n skip_verify = true\n",
		"ca = \"ca.pem\"\n[host.\"https://a.corp\"]\n", "[host.\"https://a.corp\"]\n client = [[\"c.pem\", \"k.pem\"], \"d.pem\"]\n",
		"CA = [\"gone\", \"../ca.pem\"]\n", "ca = 5\n", "[host.a]\nca=\"\"\n[host.a.header]\nx = [\"y\"]\n", "ca = \"/dev/zero\"\n",
		"server = \"quay.io\"\n[host.\"%zz\"]\n", "host = {a = {ca = \"/dev/zero\"}}\n", "[HOST.a]\nca = \"/dev/zero\"\n", "\xef\xbb\xbf[host]\n",
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
		want, err := readHosts(at, "quay.io")
		if skipped := (*skippedError)(nil); err != nil && !errors.As(err, &skipped) {
			t.Fatalf("containerd fails: %v; thought to be asked: %+v", err, got.Hosts)
		}
		expected := resolved(want)
		for i := range min(len(expected), len(got.Hosts)) {
			if got.Hosts[i].Scheme == "http" {
				expected[i].Scheme = "http" // it is tried, too
			}
		}
		if !reflect.DeepEqual(got.Hosts, expected) {
			t.Errorf("copied %+v, read %+v", got.Hosts, expected)
		}
	})
}
