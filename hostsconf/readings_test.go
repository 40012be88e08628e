package hostsconf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/foreignforms"
)

// reading returns the result of a family's reading as one line.
func (f Family) reading(certsDir string) string {
	r, err := f.Lookup(certsDir, foreignforms.Registry)
	switch {
	case errors.Is(err, ErrCrashes):
		return "crashes"
	case err != nil:
		return "fails"
	}
	var hosts []string
	for _, h := range r.Hosts {
		text := h.URL()
		if !h.Pull || !h.Resolve {
			text += " (not asked for tags)"
		}
		hosts = append(hosts, text)
	}
	if r.Ignored != nil {
		hosts = append(hosts, "(ignored)")
	}
	return strings.Join(hosts, ", ")
}

// test/e2e compares what each family reads with the daemons. This test pins the results, so that a
// new release of a library cannot change them unnoticed.
func TestReadings(t *testing.T) {
	ca, _, _ := testCertificate(t)
	var got bytes.Buffer
	names := map[string]bool{}
	for _, form := range foreignforms.All() {
		if names[form.Name] {
			t.Fatalf("two forms are called %s", form.Name)
		}
		names[form.Name] = true
		content := form.Content(foreignforms.Addresses{Plain: "http://127.0.0.1:5001", IPv6: "http://[::1]:5002"})
		dir := writeTree(t, map[string]string{"quay.io/hosts.toml": string(content), "quay.io/" + foreignforms.CAFile: string(ca)})
		fmt.Fprintf(&got, "%s\n", form.Name)
		last, from := "", Family16
		flush := func(to Family) {
			fmt.Fprintf(&got, "  %s: %s\n", releases(from, to), last)
		}
		for _, f := range Families() {
			line := f.reading(dir)
			if form.Unordered {
				hosts := strings.Split(line, ", ")
				slices.Sort(hosts)
				line = strings.Join(hosts, ", ")
			}
			if f.v1() && (line == "crashes") != form.KillsV1 {
				t.Errorf("%s: containerd %s %s", form.Name, f, line)
			}
			if f != Family16 && line != last {
				flush(f - 1)
				from = f
			}
			last = line
		}
		flush(Newest)
		if crashes(content) != form.KillsV1 {
			t.Errorf("%s: kills reports %t", form.Name, !form.KillsV1)
		}
	}
	golden := filepath.Join("testdata", "readings.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("readings have changed (-update writes them):\n%s", got.Bytes())
	}
}

// The credential provider gets each host of each reading, or none is known.
func TestForeignDirectoriesJoinReadings(t *testing.T) {
	ca, _, _ := testCertificate(t)
	for _, form := range foreignforms.All() {
		content := form.Content(foreignforms.Addresses{Plain: "http://127.0.0.1:5001", IPv6: "http://[::1]:5002"})
		n := newNode(t, map[string]string{
			certsDir[1:] + "/quay.io/hosts.toml":             string(content),
			certsDir[1:] + "/quay.io/" + foreignforms.CAFile: string(ca),
		})
		got := " " + n.foreignDirectories()["quay.io"] + " "
		for _, f := range Families() {
			r, err := f.Lookup(filepath.Join(n.dir, certsDir), "quay.io")
			if err != nil && !errors.Is(err, ErrCrashes) && got != " "+Unreadable+" " {
				t.Errorf("%s: containerd %s fails (%v), and %s is thought to be asked", form.Name, f, err, got)
			}
			for _, h := range r.Hosts {
				tried := strings.NewReplacer("https://127", "http://127", "https://[", "http://[").Replace(h.URL())
				if got != " "+Unreadable+" " && !strings.Contains(got, " "+tried+" ") {
					t.Errorf("%s: containerd %s asks %s, which is not in %s", form.Name, f, tried, got)
				}
			}
		}
	}
}

func TestFamilyOf(t *testing.T) {
	for _, c := range []struct {
		major, minor, patch int
		want                Family
	}{
		{1, 5, 0, Family16}, {1, 6, 20, Family16}, {1, 7, 31, Family16}, {1, 7, 32, Family1732}, {1, 8, 0, Family1732},
		{2, 0, 0, Family20}, {2, 0, 6, Family20}, {2, 0, 7, Family207}, {2, 1, 9, Family207}, {2, 2, 0, Family22}, {2, 3, 7, Family22}, {2, 4, 0, Family24}, {3, 0, 0, Family24},
	} {
		if got := FamilyOf(c.major, c.minor, c.patch); got != c.want {
			t.Errorf("%d.%d.%d: %s, want %s", c.major, c.minor, c.patch, got, c.want)
		}
	}
}

// checkV1 refuses content that go-toml v1 would need long to read, and accepts everything below.
func TestCheckV1(t *testing.T) {
	long := strings.Repeat("#", maxV1)
	for name, c := range map[string]struct {
		content string
		says    string
	}{
		"empty":         {"", ""},
		"largest":       {long, ""},
		"larger":        {long + "#", "larger than 32 KiB"},
		"deepest":       {strings.Repeat("[", maxV1Depth), ""},
		"deeper":        {strings.Repeat("[", maxV1Depth+1), "nested deeper than 100 levels"},
		"both brackets": {strings.Repeat("[{", maxV1Depth/2) + "[", "nested deeper than 100 levels"},
		"side by side":  {strings.Repeat("[]{}", maxV1Depth), ""},
		"most dots":     {strings.Repeat(".", maxV1/4), ""},
		"more dots":     {strings.Repeat(".", maxV1/4+1), "nested too deep"},
	} {
		err := checkV1([]byte(c.content))
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, errNotRead) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// For a release that does not know a key or ignores the file, a copy of the directory is read. The
// certificates beside hosts.toml must be found from there too.
func TestFamiliesReadCertificates(t *testing.T) {
	ca, _, key := testCertificate(t)
	const named = "ca = [\"ca.pem\", \"../certs/ca.pem\", \"%s\"]\nclient = [[\"ca.pem\", \"key.pem\"]]\n"
	for name, content := range map[string]string{
		"a new key":        "[host.\"https://m.corp\"]\ndial_timeout = \"2s\"\n" + named,
		"a new capability": "[host.\"https://m.corp\"]\ncapabilities = [\"pull\", \"referrers\"]\n" + named,
		"no host table":    "server = \"https://m.corp\"\n" + named,
		"TOML 1.1":         "x = {\n}\n[host.\"https://m.corp\"]\n" + named,
	} {
		dir := writeTree(t, map[string]string{
			"quay.io/ca.pem": string(ca), "quay.io/key.pem": string(key), "certs/ca.pem": string(ca),
			"quay.io/x.crt": string(ca), "quay.io/x.cert": string(ca), "quay.io/x.key": string(key),
		})
		content = fmt.Sprintf(content, filepath.Join(dir, "certs", "ca.pem"))
		if err := os.WriteFile(filepath.Join(dir, "quay.io", fileName), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, f := range Families() {
			if r, err := f.Lookup(dir, "quay.io"); err != nil || len(r.Hosts) == 0 {
				t.Errorf("%s: containerd %s: %+v, %v", name, f, r, err)
			}
		}
	}
}

// tlsFiles returns every file that some release opens: the names below ca and client, of the file
// and of its hosts, in any case of the keys.
func TestTLSFiles(t *testing.T) {
	const bom = "\xef\xbb\xbf" // go-toml v1 reads a file with it, v2 does not
	for content, want := range map[string]string{
		"":                                      "",
		"ca = \"a\"\n":                          "a",
		"CA = \"a\"\nClient = \"b\"\n":          "a b",
		"client = [[\"b\", \"a\"], \"c\"]\n":    "a b c",
		"ca = [\"a\", \"a\"]\nserver = \"x\"\n": "a",
		"ca = 5\nclient = [[1], true]\n":        "",
		"[host.\"https://m.corp\"]\nca = \"a\"\nx = \"y\"\n[host.\"https://n.corp\"]\nclient = [[\"b\", \"c\"]]\n": "a b c",
		"ca = \"t\"\n[host.m]\nca = \"a\"\n[other.m]\nca = \"b\"\n":                                                "a t",
		"host = 5\nca = \"a\"\n": "a",
		"ca = \"a\n":             "",
	} {
		if got := strings.Join(tlsFiles([]byte(content)), " "); got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
		if got := strings.Join(tlsFiles([]byte(bom+content)), " "); content != "" && got != want {
			t.Errorf("%q with a byte order mark: %q, want %q", content, got, want)
		}
	}
}
