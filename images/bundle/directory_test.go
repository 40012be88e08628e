package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/layout"
)

// put writes a file, and the directories above it.
func put(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// In finds bundles, whole or in parts, and layouts. What looks like a bundle and is none is named, the
// rest is ignored.
func TestIn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"b.tar.zst", "a.tar", "parts.tar.000", "parts.tar.001", "rest.tar.zst.001",
		"README", "a.tar.sha256", ".c.tar.zst.Xy12", "notes.001", "empty/x", "deep/d.tar", "new.tar.zst.partial", "part.tar.000.partial",
		"other.tar.gz", "z/" + layout.MarkerFile, "dir.tar/" + layout.MarkerFile,
	} {
		put(t, filepath.Join(dir, name), "")
	}
	all, problems, err := In(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, at := range all {
		got = append(got, strings.Replace(at.String(), dir+"/", "", 1))
	}
	if want := []string{"a.tar", "b.tar.zst", "oci:dir.tar", "parts.tar", "rest.tar.zst", "oci:z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want := []string{
		"new.tar.zst.partial: is not complete; run the berth images copy that has begun it again",
		"other.tar.gz: is compressed in a way from which no blob can be read alone; unpack it, or write it with berth images copy --to FILE.tar.zst",
		"part.tar.000.partial: is not complete; run the berth images copy that has begun it again",
	}
	var said []string
	for _, problem := range problems {
		said = append(said, strings.TrimPrefix(problem.Error(), dir+"/"))
	}
	if !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	if all, problems, err = In(filepath.Join(dir, "z")); err != nil || len(problems) > 0 || len(all) != 1 || all[0].Layout() != filepath.Join(dir, "z") {
		t.Errorf("a layout: %v, %v, %v", all, problems, err)
	}
	if _, _, err = In(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// State changes with the files of sources, and with nothing else.
func TestState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file.tar")
	in := filepath.Join(dir, "in")
	put(t, filepath.Join(in, "z", layout.IndexFile), "{}")
	sources := []string{in, file}
	last := State(sources)
	if again := State(sources); again != last {
		t.Errorf("%q, then %q", last, again)
	}
	for _, name := range []string{filepath.Join(in, "a.tar"), file + ".000", file, filepath.Join(in, "z", layout.IndexFile)} {
		put(t, name, "content of "+name)
		now := State(sources)
		if now == last {
			t.Errorf("%s is not seen", name)
		}
		last = now
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if State(sources) == last {
		t.Error("a removed file is not seen")
	}
}
