package record

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
)

// The name of a copy is readable, unique for the file, and short enough.
func TestSavedName(t *testing.T) {
	for path, want := range map[string]string{
		"/etc/a.toml":                        "etc_a.toml",
		"/.hidden/a":                         "hidden/a",
		"/..a":                               "a",
		"/a b\tc\nd\x00e\x1ff\x20g":          "a_b_c_d_e_f_g",
		"/a\x21b\x7ec\x7fd":                  "a!b~c_d",
		"/é":                                 "é",
		"/" + strings.Repeat("a", 180):       strings.Repeat("a", 180),
		"/" + strings.Repeat("a", 180) + "b": strings.Repeat("a", 179) + "b",
		"/é" + strings.Repeat("a", 179):      strings.Repeat("a", 179), // no half of a letter
		"/" + strings.Repeat("d", 100) + "/e/f.toml": strings.Repeat("d", 100) + "_e_f.toml",
	} {
		want = strings.ReplaceAll(want, "/", "_")
		name := SavedName(path, nodefs.Entry{})
		if base, hash, ok := strings.Cut(name, "."+name[max(0, len(name)-16):]); !ok || hash != "" || base != want {
			t.Errorf("savedName(%q) = %q, want %q and a hash", path, name, want)
		}
	}
	names := map[string]bool{}
	for _, e := range []nodefs.Entry{{}, {Content: []byte("a")}, {Target: "a"}, {Kind: nodefs.Symlink, Target: "a"}, {Kind: nodefs.Regular, Content: []byte("a")}} {
		names[SavedName("/a", e)] = true
		names[SavedName("/b", e)] = true
	}
	if len(names) != 10 {
		t.Errorf("%d names for 10 contents and paths: %v", len(names), names)
	}
	first, again := nodefs.Entry{Content: []byte("a")}, nodefs.Entry{Content: []byte("a")}
	if SavedName("/a", first) != SavedName("/a", again) {
		t.Error("the same content has two names")
	}
}
