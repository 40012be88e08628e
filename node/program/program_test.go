package program

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// A copy that is stopped before its rename leaves the old file, and nothing beside it.
func TestReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	stopped := errors.New("stopped")
	for _, step := range []struct {
		content, want string
		err           error
	}{{"one", "one", nil}, {"two", "one", stopped}, {"three", "three", nil}} {
		err := Replace(file, strings.NewReader(step.content), 0o755, func() error { return step.err })
		if !errors.Is(err, step.err) {
			t.Errorf("%s: %v", step.content, err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != step.want {
			t.Errorf("after %s: %q, %v", step.content, got, err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	sum, size, err := Hash(file)
	if sum != "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f" || size != 5 || err != nil {
		t.Errorf("%s, %d, %v", sum, size, err)
	}
}

// All files are replaced, in order, or none.
func TestReplaceAll(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	stopped := errors.New("stopped")
	for _, step := range []struct {
		content, want string
		first, last   error
	}{
		{content: "one", want: "one"}, {content: "two", want: "one", first: stopped}, {content: "three", want: "one", last: stopped}, {content: "four", want: "four"},
	} {
		ready := func(err error) func() error { return func() error { return err } }
		err := ReplaceAll(0o755,
			Replacement{file("a"), strings.NewReader(step.content), ready(step.first)},
			Replacement{file("b"), strings.NewReader(step.content), ready(step.last)},
			Replacement{file("c"), strings.NewReader(step.content), nil})
		if want := errors.Join(step.first, step.last); (want == nil) != (err == nil) || want != nil && !errors.Is(err, stopped) {
			t.Errorf("%s: %v", step.content, err)
		}
		for _, name := range []string{"a", "b", "c"} {
			if got, err := os.ReadFile(file(name)); err != nil || string(got) != step.want {
				t.Errorf("after %s, %s: %q, %v", step.content, name, got, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
			t.Errorf("left: %v, %v", entries, err)
		}
	}
	// The content of the last one cannot be read: the first stays.
	if err := ReplaceAll(0o755, Replacement{File: file("a"), Content: strings.NewReader("five")}, Replacement{File: file("b"), Content: iotest.ErrReader(stopped)}); !errors.Is(err, stopped) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(file("a")); err != nil || string(got) != "four" {
		t.Errorf("%q, %v", got, err)
	}
	// A rename that fails leaves the first ones replaced.
	if err := errors.Join(os.Remove(file("b")), os.MkdirAll(file("b/full"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceAll(0o755, Replacement{File: file("a"), Content: strings.NewReader("six")}, Replacement{File: file("b"), Content: strings.NewReader("six")}); err == nil {
		t.Error("a directory was replaced")
	}
	if got, err := os.ReadFile(file("a")); err != nil || string(got) != "six" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"_berth-tmp-0123456789abcdef-file", "_berth-tmp-mine", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if err := Sweep(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
