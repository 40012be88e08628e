package list

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
)

// listed returns the images of a manifest sorted by text, with use, line and field, and then the
// problems.
func listed(text string) string {
	var l List
	l.AddManifests(document.Stdin, strings.NewReader(text))
	var all []string
	for _, image := range l.Images() {
		for _, p := range image.Found {
			all = append(all, fmt.Sprintf("%s %s %d %s", image.Reference.Familiar(), p.Use, p.Line, p.Field))
		}
	}
	for _, err := range l.Problems() {
		all = append(all, err.Error())
	}
	return strings.Join(all, "\n")
}

func TestManifests(t *testing.T) {
	for _, test := range imagestest.Manifests {
		t.Run(test.Name, func(t *testing.T) {
			if got := listed(test.Text); got != test.Want {
				t.Errorf("got\n%s\nwant\n%s", got, test.Want)
			}
		})
	}
}

// A kilobyte of aliases that expands to a billion values is refused, in finite time.
func TestManifestBombs(t *testing.T) {
	var laughs, merges strings.Builder
	laughs.WriteString("l0: &l0 {image: a:1}\n")
	merges.WriteString("m0: &m0 {image: a:1}\n")
	for i := range 40 {
		fmt.Fprintf(&laughs, "l%d: &l%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i), 10), ","))
		fmt.Fprintf(&merges, "m%d: &m%d {x: {<<: *m%d}, y: {<<: *m%d}}\n", i+1, i+1, i, i)
	}
	for _, text := range []string{laughs.String(), merges.String()} {
		if got := listed(text); !strings.Contains(got, "aliases (*name) expand to too many values here") {
			t.Errorf("got %.200s", got)
		}
	}
	for _, text := range []string{strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000), "a: " + strings.Repeat("- ", 5_000) + "b\n"} {
		if got := listed(text); !strings.Contains(got, "is no valid") && !strings.Contains(got, "nested deeper") {
			t.Errorf("got %.200s", got)
		}
	}
}

// Any text is read without a crash; references and places are valid, and errors are one line.
func FuzzManifest(f *testing.F) {
	for _, test := range imagestest.Manifests {
		f.Add(test.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l List
		l.AddManifest("f.yaml", []byte(text))
		for _, image := range l.Images() {
			if again, err := reference.Parse(image.Reference.String()); err != nil || again != image.Reference {
				t.Errorf("%s is read as %s, %v", image.Reference, again, err)
			}
			for _, p := range image.Found {
				if p.Line < 1 || p.Column < 1 || p.Line > strings.Count(text, "\n")+1 {
					t.Errorf("%+v is not in the text", p)
				}
			}
		}
		for _, err := range l.Problems() {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("not one line: %q", err)
			}
		}
	})
}

func FuzzPlain(f *testing.F) {
	for _, text := range []string{"redis:7\r\n# x\n\"a\"\n", "time=\"x\" level=info msg=\"y\"\n", "INFO[0000] x\na b\n\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src, err := document.NewSource("f", []byte(text))
		if err != nil {
			return
		}
		var l List
		count := plainLines(src, &l)
		found := len(l.Problems())
		for _, image := range l.Images() {
			found += len(image.Found)
		}
		if found != count || count > strings.Count(text, "\n")+1 {
			t.Errorf("%d lines gave %d images and problems", count, found)
		}
	})
}
