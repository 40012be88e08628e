package hostsconf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
)

// below puts the file names below certs.d of a node.
func below(files map[string]string) map[string]string {
	all := map[string]string{}
	for name, content := range files {
		all[certsDir[1:]+"/"+name] = content
	}
	return all
}

// foreignCertificates returns the result of [FindForeignCertificates] for a registry on a node
// with files, after Berth's were applied: "directory: CA; clients; material".
func (n *node) foreignCertificates(upstream string, ours ...Directory) string {
	n.t.Helper()
	if len(ours) > 0 {
		n.apply(ours...)
	}
	desired, err := Build(certsDir, ours)
	if err != nil {
		n.t.Fatal(err)
	}
	current, err := n.tree().Read(desired)
	if err != nil {
		n.t.Fatal(err)
	}
	c := FindForeignCertificates(filepath.Join(n.dir, certsDir), current).For(upstream)
	if c == nil {
		return ""
	}
	m := c.Material
	return fmt.Sprintf("%s: %v; %v; %q %q %q", c.Dir, c.CA, c.Client, m.CA, m.Cert, m.Key.Reveal())
}

// containerd uses the certificates of the directory that wins, and only if it holds no hosts.toml.
// A hosts.toml by Berth must keep their effect.
func TestFindForeign(t *testing.T) {
	quay := Directory{Upstream: "quay.io", Hosts: []Host{mirror(t, "m.corp")}}
	for name, c := range map[string]struct {
		files    map[string]string
		links    map[string]string
		adopt    bool
		ours     []Directory
		upstream string
		want     string
	}{
		"none":      {upstream: "quay.io"},
		"a CA":      {files: map[string]string{"quay.io/a.crt": "A"}, upstream: "quay.io", want: `quay.io: [a.crt]; []; "A\n" "" ""`},
		"two CAs":   {files: map[string]string{"quay.io/b.crt": "B", "quay.io/a.crt": "A"}, upstream: "quay.io", want: `quay.io: [a.crt b.crt]; []; "A\nB\n" "" ""`},
		"a client":  {files: map[string]string{"quay.io/a.cert": "C", "quay.io/a.key": "K"}, upstream: "quay.io", want: `quay.io: []; [[a.cert a.key]]; "" "C" "K"`},
		"no key":    {files: map[string]string{"quay.io/a.cert": "C", "quay.io/b.key": "K"}, upstream: "quay.io", want: `quay.io: []; [[a.cert a.cert]]; "" "C" "C"`},
		"two":       {files: map[string]string{"quay.io/b.cert": "D", "quay.io/a.cert": "C", "quay.io/b.key": "K"}, upstream: "quay.io", want: `quay.io: []; [[a.cert a.cert] [b.cert b.key]]; "" "C" "C"`},
		"a key":     {files: map[string]string{"quay.io/a.key": "K"}, upstream: "quay.io"},
		"a folder":  {files: map[string]string{"quay.io/a.crt/x": "A", "quay.io/b.crt": "B"}, upstream: "quay.io", want: `quay.io: [b.crt]; []; "B\n" "" ""`},
		"by port":   {files: map[string]string{"h:5000/a.crt": "A"}, upstream: "h:5000", want: `h:5000: [a.crt]; []; "A\n" "" ""`},
		"both":      {files: map[string]string{"h:5000/a.crt": "A", "h_5000_/b.crt": "B"}, upstream: "h:5000", want: `h_5000_: [b.crt]; []; "B\n" "" ""`},
		"default":   {files: map[string]string{"_default/a.crt": "A"}, upstream: "quay.io", want: `_default: [a.crt]; []; "A\n" "" ""`},
		"elsewhere": {files: map[string]string{"ghcr.io/a.crt": "A", "_berth/b.crt": "B"}, upstream: "quay.io"},
		// containerd does not reach _default.
		"other files":         {files: map[string]string{"_default/a.crt": "A", "quay.io/README": "R"}, upstream: "quay.io"},
		"a foreign file":      {files: map[string]string{"_default/a.crt": "A", "quay.io/a.crt": "A", "quay.io/hosts.toml": "[host]\n"}, upstream: "quay.io"},
		"a foreign file else": {files: map[string]string{"_default/a.crt": "A", "quay.io/hosts.toml": "[host]\n"}, upstream: "ghcr.io", want: `_default: [a.crt]; []; "A\n" "" ""`},
		"a linked directory":  {files: map[string]string{"_default/a.crt": "A", "real/a.crt": "A"}, links: map[string]string{"quay.io": "real"}, upstream: "quay.io"},
		// A certificate that had an effect before Berth's files must keep it.
		"ours beside it":        {files: map[string]string{"quay.io/a.crt": "A"}, ours: []Directory{quay}, upstream: "quay.io", want: `quay.io: [a.crt]; []; "A\n" "" ""`},
		"ours in place of it":   {files: map[string]string{"_default/a.crt": "A"}, ours: []Directory{quay}, upstream: "quay.io", want: `_default: [a.crt]; []; "A\n" "" ""`},
		"ours after a takeover": {files: map[string]string{"quay.io/a.crt": "A", "quay.io/hosts.toml": "[host]\n"}, adopt: true, ours: []Directory{quay}, upstream: "quay.io"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, below(c.files))
			n.adopt = c.adopt
			for name, target := range c.links {
				n.link(target, name)
			}
			if got := n.foreignCertificates(c.upstream, c.ours...); got != c.want {
				t.Errorf("found %s, want %s", got, c.want)
			}
		})
	}
}

func TestFindForeignReportsLinkedDefault(t *testing.T) {
	for name, want := range map[string]bool{"_default": true, "quay.io": false} {
		n := newNode(t, below(map[string]string{"real/a.crt": "A"}))
		n.link("real", name)
		current, err := n.tree().Read(DesiredFiles{})
		if err != nil {
			t.Fatal(err)
		}
		if got := FindForeignCertificates(filepath.Join(n.dir, certsDir), current).Linked; got != want {
			t.Errorf("%s is a link: Linked is %t", name, got)
		}
	}
}

func TestHasCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		links []string
		want  bool
	}{
		"no directory":       {nil, nil, false},
		"a CA":               {map[string]string{"quay.io/a.crt": ""}, nil, true},
		"a client":           {map[string]string{"quay.io/a.cert": ""}, nil, true},
		"a key":              {map[string]string{"quay.io/a.key": ""}, nil, false},
		"ours":               {map[string]string{"quay.io/hosts.toml": "", "_berth/ca.crt": ""}, nil, false},
		"beside directories": {map[string]string{"a.crt": ""}, nil, false},
		"_default, linked":   {nil, []string{"_default"}, true},
		"another, linked":    {nil, []string{"quay.io"}, false},
		"_default, a file":   {map[string]string{"_default": ""}, nil, false},
	} {
		dir := writeTree(t, c.files)
		for _, link := range c.links {
			if err := os.Symlink("elsewhere", filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		if got := HasCertificates(dir); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if HasCertificates(filepath.Join(t.TempDir(), "gone")) {
		t.Error("there are certificates where no certs.d is")
	}
}

// Berth's own connections use the content of the files, after that of the config.
func TestMaterial(t *testing.T) {
	theirs := &ForeignCertificates{CA: []string{"a.crt"}, Material: TLS{CA: []byte("T"), Cert: []byte("TC"), Key: redact.New("TK")}}
	for name, c := range map[string]struct {
		tls  TLS
		want string
	}{
		"nothing":          {TLS{}, `"" "" "" false`},
		"ours":             {TLS{CA: []byte("O"), Cert: []byte("OC"), Key: redact.New("OK"), SkipVerify: true}, `"O" "OC" "OK" true`},
		"no certificates":  {TLS{CA: []byte("O"), Foreign: &ForeignCertificates{}}, `"O" "" "" false`},
		"theirs":           {TLS{Foreign: theirs}, `"\nT" "TC" "TK" false`},
		"both":             {TLS{CA: []byte("O"), Cert: []byte("OC"), Key: redact.New("OK"), Foreign: theirs}, `"O\nT" "OC" "OK" false`},
		"theirs, client":   {TLS{CA: []byte("O"), Foreign: &ForeignCertificates{Client: [][2]string{{"a", "a"}}, Material: TLS{Cert: []byte("TC"), Key: redact.New("TK")}}}, `"O" "TC" "TK" false`},
		"theirs, verified": {TLS{SkipVerify: true, Foreign: theirs}, `"\nT" "TC" "TK" true`},
	} {
		m := c.tls.Material()
		if got := fmt.Sprintf("%q %q %q %t", m.CA, m.Cert, m.Key.Reveal(), m.SkipVerify); got != c.want || !m.Foreign.IsZero() {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A hosts.toml names the certificates by paths relative to its own directory, and containerd loads
// the expected number. Whether the certificates are valid does not matter.
func TestForeignCertificatesAreNamed(t *testing.T) {
	at := func(dir string) *ForeignCertificates {
		return &ForeignCertificates{Dir: dir, CA: []string{"a.crt", "b.crt"}, Client: [][2]string{{"c.cert", "c.key"}, {"d.cert", "d.cert"}}}
	}
	withTLS := func(dir string) Host {
		h := mirror(t, "m.corp")
		h.TLS.Foreign = at(dir)
		return h
	}
	server := withTLS("ghcr.io")
	const (
		here  = "ca = [\"a.crt\", \"b.crt\"]\nclient = [[\"c.cert\", \"c.key\"], [\"d.cert\", \"d.cert\"]]\n"
		there = "ca = [\"../ghcr.io/a.crt\", \"../ghcr.io/b.crt\"]\n%[1]sclient = [[\"../ghcr.io/c.cert\", \"../ghcr.io/c.key\"], [\"../ghcr.io/d.cert\", \"../ghcr.io/d.cert\"]]\n"
	)
	for name, c := range map[string]struct {
		dir  Directory
		want string
	}{
		"the registry itself":       {Directory{Upstream: "quay.io", Foreign: at("quay.io")}, here},
		"from another directory":    {Directory{Upstream: "quay.io", Foreign: at("ghcr.io")}, fmt.Sprintf(there, "")},
		"a host":                    {Directory{Upstream: "quay.io", Hosts: []Host{withTLS("ghcr.io")}}, "  " + fmt.Sprintf(there, "  ")},
		"a server":                  {Directory{Upstream: "quay.io", Server: &server}, fmt.Sprintf(there, "")},
		"by port":                   {Directory{Upstream: "h:5000", Foreign: at("h_5000_")}, here},
		"by port, the other folder": {Directory{Upstream: "h:5000", Foreign: at("h:5000")}, "ca = [\"../h:5000/a.crt\""},
	} {
		files, err := render(certsDir, c.dir)
		if err != nil {
			t.Fatal(err)
		}
		if body := string(files[len(files)-1].Body); !strings.Contains("\n"+body, "\n"+c.want) {
			t.Errorf("%s: want\n%sin\n%s", name, c.want, body)
		}
		if err := verify(t.TempDir(), c.dir, files); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Verification notices if one of them is missing in the file.
		for _, lost := range []string{"ca = [", "client = ["} {
			cut := slices.Clone(files)
			body := string(cut[len(cut)-1].Body)
			from := strings.Index(body, lost)
			cut[len(cut)-1] = managedfile.File{Path: cut[len(cut)-1].Path, Body: []byte(body[:from] + body[from+strings.Index(body[from:], "\n"):])}
			if err := verify(t.TempDir(), c.dir, cut); err == nil {
				t.Errorf("%s: not noticed: no %s…]", name, lost)
			}
		}
	}
}
