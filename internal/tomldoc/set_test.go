package tomldoc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// at is the key that the tests set: nested, with a name that needs quotes.
var at = []string{"plugins", "io.x.cri", "registry", "config_path"}

func TestSet(t *testing.T) {
	for _, test := range []struct{ name, in, out string }{
		{"empty", "", "[plugins.\"io.x.cri\".registry]\n  config_path = \"/certs\"\n"},
		{"comments only", "# nothing\n", "# nothing\n\n[plugins.\"io.x.cri\".registry]\n  config_path = \"/certs\"\n"},
		{"no end of the last line", "a = 1", "a = 1\n\n[plugins.\"io.x.cri\".registry]\n  config_path = \"/certs\"\n"},
		{
			"replaced, its quotes kept",
			"[plugins.'io.x.cri'.registry]\nconfig_path   =  '/a:/b'\t# two\nx = 1\n",
			"[plugins.'io.x.cri'.registry]\nconfig_path   =  '/certs'\t# two\nx = 1\n",
		},
		{
			"replaced, whatever it was",
			"[plugins.'io.x.cri'.registry]\nconfig_path=[\n 1, # one\n]# end\n",
			"[plugins.'io.x.cri'.registry]\nconfig_path='/certs'# end\n",
		},
		{
			"replaced in a dotted key",
			"[plugins]\n\"io.x.cri\".\"registry\" . config_path = \"\"\n",
			"[plugins]\n\"io.x.cri\".\"registry\" . config_path = \"/certs\"\n",
		},
		{
			"replaced in an inline table",
			"plugins = {'io.x.cri' = {registry={config_path = \"x\"}, b = 1}} # end\n",
			"plugins = {'io.x.cri' = {registry={config_path = \"/certs\"}, b = 1}} # end\n",
		},
		{
			"replaced in three lines",
			"[plugins.\"io.x.cri\".registry]\nconfig_path = \"\"\"\n/a\n\"\"\"\nx = 1\n",
			"[plugins.\"io.x.cri\".registry]\nconfig_path = \"/certs\"\nx = 1\n",
		},
		{
			"below its header, as the others",
			"[plugins.\"io.x.cri\".registry] # here\n    # why\n    x = 1\n",
			"[plugins.\"io.x.cri\".registry] # here\n    config_path = \"/certs\"\n    # why\n    x = 1\n",
		},
		{
			"below an empty header",
			"[a]\n\tb = 1\n\t[plugins.\"io.x.cri\".registry]\n[z]\n",
			"[a]\n\tb = 1\n\t[plugins.\"io.x.cri\".registry]\n\t\tconfig_path = \"/certs\"\n[z]\n",
		},
		{
			"below a header at the end of the file",
			"[plugins.\"io.x.cri\".registry]",
			"[plugins.\"io.x.cri\".registry]\n  config_path = \"/certs\"\n",
		},
		{
			"above the tables inside it",
			"[plugins.\"io.x.cri\"]\n  b = 1\n\n  # mine\n  [plugins.\"io.x.cri\".registry.headers]\n    X = [\"1\"]\n",
			"[plugins.\"io.x.cri\"]\n  b = 1\n\n  [plugins.\"io.x.cri\".registry]\n    config_path = \"/certs\"\n\n  # mine\n  [plugins.\"io.x.cri\".registry.headers]\n    X = [\"1\"]\n",
		},
		{
			"behind the tables of its plugin",
			"[plugins]\n  [plugins.\"io.x.cri\"]\n    [plugins.\"io.x.cri\".cni]\n      bin = \"/b\"\n  [plugins.\"other\"]\n    p = 1\n",
			"[plugins]\n  [plugins.\"io.x.cri\"]\n    [plugins.\"io.x.cri\".cni]\n      bin = \"/b\"\n    [plugins.\"io.x.cri\".registry]\n      config_path = \"/certs\"\n  [plugins.\"other\"]\n    p = 1\n",
		},
		{
			"behind its plugin, with blank lines as the others",
			"[plugins.'io.x.cri']\nb = 1\n\n[plugins.other]\np = 1\n",
			"[plugins.'io.x.cri']\nb = 1\n\n[plugins.'io.x.cri'.registry]\nconfig_path = '/certs'\n\n[plugins.other]\np = 1\n",
		},
		{
			"behind a plugin without a header of its own",
			"[plugins.'io.x.cri'.containerd]\nb = 1\n# of the next\n[plugins.other]\n",
			"[plugins.'io.x.cri'.containerd]\nb = 1\n[plugins.'io.x.cri'.registry]\nconfig_path = '/certs'\n# of the next\n[plugins.other]\n",
		},
		{
			"one step in, where tables are indented",
			"[plugins]\n  [plugins.'io.x.cri']\n    b = 1\n",
			"[plugins]\n  [plugins.'io.x.cri']\n    b = 1\n    [plugins.'io.x.cri'.registry]\n      config_path = '/certs'\n",
		},
		{
			"a plugin that is new",
			"[plugins]\n\n  [plugins.'y']\n    b = 1\n\n# last words\n[z]\n  c = 1\n",
			"[plugins]\n\n  [plugins.'y']\n    b = 1\n\n  [plugins.'io.x.cri'.registry]\n    config_path = '/certs'\n\n# last words\n[z]\n  c = 1\n",
		},
		{
			"into an inline table",
			"[plugins.\"io.x.cri\"]\nregistry = {}\n",
			"[plugins.\"io.x.cri\"]\nregistry = { config_path = \"/certs\" }\n",
		},
		{
			"into an inline table that has something",
			"[plugins]\n\"io.x.cri\" = {b = [1,2], c = {}} # end\n",
			"[plugins]\n\"io.x.cri\" = { registry = { config_path = \"/certs\" }, b = [1,2], c = {}} # end\n",
		},
		{
			"beside a dotted key",
			"[plugins]\n  \"io.x.cri\" . \"sandbox\" = \"p\" # end\n  c = 1\n",
			"[plugins]\n  \"io.x.cri\" . \"sandbox\" = \"p\" # end\n  \"io.x.cri\".registry.config_path = \"/certs\"\n  c = 1\n",
		},
		{
			"beside a dotted key of several lines",
			"plugins.'io.x.cri'.registry.list = [\n  1,\n]\nroot = '/r'\n",
			"plugins.'io.x.cri'.registry.list = [\n  1,\n]\nplugins.'io.x.cri'.registry.config_path = '/certs'\nroot = '/r'\n",
		},
		{
			"beside a dotted key in an inline table",
			"plugins = { 'io.x.cri'.registry.x = 1, y = 2 }\n",
			"plugins = { 'io.x.cri'.registry.config_path = \"/certs\", 'io.x.cri'.registry.x = 1, y = 2 }\n",
		},
		{
			"line ends as they are",
			"version = 2\r\n[plugins.\"io.x.cri\"]\r\n  b = 1\r\n",
			"version = 2\r\n[plugins.\"io.x.cri\"]\r\n  b = 1\r\n[plugins.\"io.x.cri\".registry]\r\n  config_path = \"/certs\"\r\n",
		},
		{
			"a byte order mark",
			"\ufeff[plugins.\"io.x.cri\".registry]\nx = 1\n",
			"\ufeff[plugins.\"io.x.cri\".registry]\nconfig_path = \"/certs\"\nx = 1\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := tomldoc.Parse([]byte(test.in))
			if err != nil {
				t.Fatal(err)
			}
			out, err := doc.Set("/certs", at...)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != test.out {
				t.Errorf("got\n%s\nwant\n%s", out, test.out)
			}
			again, err := tomldoc.Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := again.Set("/certs", at...); err != nil || string(twice) != string(out) {
				t.Errorf("the second time: %v\n%s", err, twice)
			}
		})
	}
}

func TestSetAtTheTop(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "version = 2\n",
		"# why\n[a]\nb = 1\n":         "version = 2\n\n# why\n[a]\nb = 1\n",
		"root = '/r'\n\n[a]\nb = 1\n": "root = '/r'\nversion = 2\n\n[a]\nb = 1\n",
		"version=1 # old\n":           "version=2 # old\n",
		"\ufeff# why\n":               "\ufeffversion = 2\n\n# why\n",
		"a.b = 1":                     "a.b = 1\nversion = 2\n",
		"[a]\nversion = 3\n[[t]]\n":   "version = 2\n\n[a]\nversion = 3\n[[t]]\n",
		"  x = 'y'\r\n[a]\r\n":        "  x = 'y'\r\n  version = 2\r\n[a]\r\n",
		"version = \"two\"\n":         "version = 2\n",
	} {
		doc, err := tomldoc.Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := doc.Set(int64(2), "version"); err != nil || string(out) != want {
			t.Errorf("%q: %v\n%q, want\n%q", in, err, out, want)
		}
	}
}

func TestSetSpellsTheValue(t *testing.T) {
	for value, want := range map[string]string{
		`/a"b\c`:    `k = "/a\"b\\c"` + "\n",
		"/a\nb\x7f": `k = "/a\u000Ab\u007F"` + "\n",
		"/é":        `k = "/é"` + "\n",
	} {
		doc, err := tomldoc.Parse(nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := doc.Set(value, "k"); err != nil || string(out) != want {
			t.Errorf("%q: %v %q, want %q", value, err, out, want)
		}
	}
	doc, err := tomldoc.Parse([]byte("k = 'x'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := doc.Set("it's", "k"); err != nil || string(out) != "k = \"it's\"\n" {
		t.Errorf("%v %q", err, out)
	}
}

func TestSetRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"plugins = 3\n":                               tomldoc.ErrNotTable,
		"[[plugins]]\na = 1\n":                        tomldoc.ErrNotTable,
		"plugins = [{a = 1}]\n":                       tomldoc.ErrNotTable,
		"[plugins.'io.x.cri'.registry.config_path]\n": tomldoc.ErrUnsupported,
	} {
		doc, err := tomldoc.Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := doc.Set("/certs", at...); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v\n%s", in, err, want, out)
		}
	}
	doc, _ := tomldoc.Parse(nil)
	if _, err := doc.Set(3.5, "x"); err == nil {
		t.Error("a float was taken")
	}
}

func TestRemove(t *testing.T) {
	path := []string{"plugins", "cri", "registry", "mirrors"}
	for _, test := range []struct{ name, in, out string }{
		{"absent", "a = 1\n", "a = 1\n"},
		{
			"tables, with what speaks of them",
			"[plugins.cri.registry]\n  x = 1\n  # the mirrors\n  [plugins.cri.registry.mirrors]\n    [plugins.cri.registry.mirrors.\"docker.io\"]\n      endpoint = [\"https://m\"]\n# of the next\n[z]\n",
			"[plugins.cri.registry]\n  x = 1\n# of the next\n[z]\n",
		},
		{"the only one", "[plugins.cri.registry.mirrors.a]\ne = []\n", ""},
		{"not the licence", "# licence\n[plugins.cri.registry.mirrors.a]\ne = []\n[b]\n", "# licence\n[b]\n"},
		{
			"dotted keys",
			"[plugins]\ncri.registry.mirrors.a.e = [\n]\n# two\ncri.registry.mirrors.b = {}\ncri.x = 1\n",
			"[plugins]\ncri.x = 1\n",
		},
		{"first of an inline table", "plugins.cri = {registry = {mirrors = {a = 1}, x = 2}}\n", "plugins.cri = {registry = {x = 2}}\n"},
		{"last of an inline table", "plugins.cri = {registry = {x = 2, mirrors = {a = 1} }}\n", "plugins.cri = {registry = {x = 2 }}\n"},
		{"one of an inline table", "plugins.cri = {registry = {mirrors.a = 1}}\n", "plugins.cri = {registry = {}}\n"},
		{"in two places", "[plugins.cri.registry.mirrors.a]\ne = 1\n[y]\n[plugins.cri.registry.mirrors.b]\ne = 1\n[z]\n", "[y]\n[z]\n"},
		{"a list of tables", "[[plugins.cri.registry.mirrors]]\ne = 1\n[z]\n", "[z]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			doc, err := tomldoc.Parse([]byte(test.in))
			if err != nil {
				t.Fatal(err)
			}
			out, err := doc.Remove(path...)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != test.out {
				t.Errorf("got\n%s\nwant\n%s", out, test.out)
			}
		})
	}
}

func TestParseFails(t *testing.T) {
	for in, want := range map[string]string{
		"a = 1\na = secret\n": "2:5: is not valid TOML: ",
		"a = 'x\n":            "1:",
		"\x00":                "1:1: is not valid TOML: a NUL byte",
		"a = 1\nb = '\xff'":   "2:6: is not valid TOML: byte 0xff",
		"[a]\n[a]\n":          "2:2: is not valid TOML: this key or table is given twice",
		strings.Repeat("[a.b]\n", 3) + strings.Repeat("x\n", tomldoc.MaxKeys): "",
	} {
		_, err := tomldoc.Parse([]byte(in))
		var mistake *tomldoc.SyntaxError
		if !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.20q: %v, want %q", in, err, want)
		}
	}
	many := strings.Builder{}
	for range tomldoc.MaxKeys + 1 {
		many.WriteString("[[a]]\n")
	}
	if _, err := tomldoc.Parse([]byte(many.String())); !errors.Is(err, tomldoc.ErrTooManyKeys) {
		t.Errorf("%v", err)
	}
}

func TestPositions(t *testing.T) {
	doc, err := tomldoc.Parse([]byte("\ufeffversion = 2\n[a.\"b c\"]\n  \"é\" = 'x'\n  l = [1]\n[[t]]\nq = 1\n[[t]]\nq = 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path         string
		line, column int
	}{
		{"version", 1, 1}, {"a", 2, 2}, {"a/b c", 2, 4}, {"a/b c/é", 3, 3}, {"a/b c/l", 4, 3}, {"t/q", 8, 1},
	} {
		f := doc.Field(strings.Split(test.path, "/")...)
		if f == nil {
			t.Errorf("%s: not found", test.path)
			continue
		}
		if line, column := doc.Position(f.Offset); line != test.line || column != test.column {
			t.Errorf("%s: at %d:%d, want %d:%d", test.path, line, column, test.line, test.column)
		}
	}
	if !doc.HasByteOrderMark() || doc.Field("version").Value.Text != "2" || doc.Field("nothing") != nil {
		t.Errorf("%+v", doc.Root())
	}
}
