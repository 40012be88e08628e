package hostsconf

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadContent reads the same hosts from the content of a file as from the file in its
// directory, though it opens none of the files that the content names.
func TestReadContent(t *testing.T) {
	for name, c := range map[string]struct {
		upstream, content, hosts, ignored, differences, err string
	}{
		"no server":     {"quay.io", "[host.\"https://m.corp\"]\nca = [\"absent.pem\"]\nclient = [[\"absent.pem\", \"/absent.key\"]]\n", "https://m.corp/v2 https://quay.io/v2", "", "", ""},
		"a server":      {"quay.io", "server = \"http://s.corp\"\n[host]\n", "http://s.corp/v2", "", "", ""},
		"the default":   {Default, "[host.\"https://m.corp/x\"]\noverride_path = true\n", "https://m.corp/x https://_default/v2", "", "", ""},
		"tls over http": {"quay.io", "server = \"http://s.corp\"\nca = 'absent.pem'\n[host]\n", "https+http://s.corp/v2", "", "", ""},
		"no table":      {"quay.io", "server = \"https://s.corp\"\n", "https://s.corp/v2", "", "containerd 1.6 to 1.7.31 ignores the file; containerd 1.7.32 and later asks https://s.corp/v2", ""},
		"not TOML":      {"quay.io", "server = \"hunter2\n", "", "it is not valid TOML", "", ""},
		"a wrong value": {"quay.io", "[host.\"https://m.corp\"]\ncapabilities = [\"hunter2\"]\n", "https://quay.io/v2", "capabilities has an unknown value; use pull, resolve or push", "", ""},
	} {
		read, err := ReadContent(c.upstream, []byte(c.content))
		var hosts []string
		for _, h := range read.Hosts {
			scheme := h.Scheme
			if _, strict := h.Client.Transport.(*http.Transport); !strict {
				scheme += "+http"
			}
			hosts = append(hosts, scheme+"://"+h.Host+h.Path)
		}
		ignored := ""
		if read.Ignored != nil {
			ignored = read.Ignored.Error()
		}
		if got := strings.Join(hosts, " "); err != nil || got != c.hosts || ignored != c.ignored || read.Differences != c.differences {
			t.Errorf("%s: %s, ignored %q, differences %q, %v", name, got, ignored, read.Differences, err)
		}
	}
}

// TestReadContentOfForms compares it with the reading of a directory, for forms without certificates.
func TestReadContentOfForms(t *testing.T) {
	for _, content := range []string{
		"", "[host]\n", "server = \"https://s.corp/x\"\n", "server = \"s.corp\"\nskip_verify = true\n[host.\"http://m.corp\"]\n", "host = {a = {}}\n",
		"[host.\"https://m.corp\"]\ndial_timeout = \"2s\"\ncapabilities = [\"pull\", \"referrers\"]\n", "x = {\n}\n", "[host.a]\n[host.b]\n[host.a.header]\nX = \"y\"\n",
	} {
		certsDir := t.TempDir()
		file := filepath.Join(certsDir, "quay.io", FileName)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		want, err := Lookup(certsDir, "quay.io")
		if err != nil {
			t.Fatal(err)
		}
		read, err := ReadContent("quay.io", []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		got := Resolution{Hosts: resolved(read.Hosts), Ignored: read.Ignored}
		if got.outcome(nil) != want.outcome(nil) || read.Differences != Differences(certsDir, "quay.io") {
			t.Errorf("%q: %s (%s), want %s (%s)", content, got.outcome(nil), read.Differences, want.outcome(nil), Differences(certsDir, "quay.io"))
		}
	}
}
