package rewrite

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
)

// options reads the flags of a test.
func options(t testing.TB, flags string) Options {
	t.Helper()
	var o Options
	words := strings.Fields(flags)
	target := func(s string) reference.Target {
		target, err := reference.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	for i := 0; i < len(words); i++ {
		if words[i] == "--env" {
			o.Env = true
			continue
		}
		value := words[i+1]
		switch words[i] {
		case "--to":
			o.To = target(value)
		case "--only":
			o.Only = append(o.Only, target(value))
		case "--image-pull-secret":
			o.PullSecret = value
		default:
			t.Fatalf("flag %s", words[i])
		}
		i++
	}
	return o
}

// rewritten returns the result of a rewrite, and the problems and notes.
func rewritten(t testing.TB, text string, o Options) (out, log string) {
	t.Helper()
	r, err := Rewrite("in.yaml", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range r.Untouched {
		log += err.Error() + "\n"
	}
	for _, err := range r.Notes {
		log += "note: " + err.Error() + "\n"
	}
	return string(r.Text), log
}

// Each example gives the expected result, the same again when it is repeated, and likewise with
// CRLF.
func TestRewrite(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := options(t, imagestest.Section(a, "flags"))
			in, want := imagestest.Section(a, "in.yaml"), imagestest.Section(a, "out.yaml")
			got, log := rewritten(t, in, o)
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if wantLog := imagestest.Section(a, "log"); log != wantLog {
				t.Errorf("log\n%s\nwant\n%s", log, wantLog)
			}
			if again, _ := rewritten(t, got, o); again != got {
				t.Errorf("a second time it is\n%s", again)
			}
			crlf := strings.NewReplacer("\n", "\r\n")
			if got, _ := rewritten(t, "\ufeff"+crlf.Replace(in), o); got != "\ufeff"+crlf.Replace(want) {
				t.Errorf("with other line ends it is\n%q", got)
			}
		})
	}
}

func TestRewriteToIPv6(t *testing.T) {
	o := options(t, "--to [2001:db8::1]:5000/m")
	got, _ := rewritten(t, "a: {image: redis:7}\nb: {image: 'redis:7'}\nc:\n  image: |-\n    redis:7\n", o)
	want := "a: {image: \"[2001:db8::1]:5000/m/library/redis:7\"}\nb: {image: '[2001:db8::1]:5000/m/library/redis:7'}\nc:\n  image: |-\n    [2001:db8::1]:5000/m/library/redis:7\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestRewriteChanges(t *testing.T) {
	r, err := Rewrite("in.yaml", []byte("a: {image: redis:7}\nb: {image: reg.corp/x:1}\nc: {image: quay.io/x}\n"), options(t, "--to reg.corp"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Changes {
		got = append(got, c.Place.String()+" "+c.From.String()+" "+c.To.String())
	}
	want := []string{
		"in.yaml:1:12: a.image docker.io/library/redis:7 reg.corp/library/redis:7",
		"in.yaml:3:12: c.image quay.io/x:latest reg.corp/x:latest",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A file that cannot be read, or cannot be changed in place, is refused as a whole.
func TestRewriteRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"broken", "image: a:1\n---\na: [\n---\nb: [\n", "in.yaml:3:1: is no valid YAML near here: did not find expected node content\nin.yaml:5:1: is no valid YAML near here: did not find expected node content"},
		{"a chart", "{{- if x }}\nimage: a:1\n", "in.yaml:1:1: is a template of a chart, not a manifest; render it with helm template"},
		{"binary", "a\x00", "in.yaml:1:2: holds a NUL byte; this is a binary file, and text in UTF-8 is needed"},
		{"an image over two lines", "spec: {containers: [{image: \"redis\\\n  :7\"}]}\n", ""},
		{"a registry of two images", "b: &b {registry: quay.io}\nx: {image: {<<: *b, repository: a/x}}\ny: {image: {<<: *b, repository: a/y, tag: $(x)}}\n", "in.yaml: \"quay.io/a/y:$(x)\" would become \"reg.corp/a/y:$(x)\": the result would differ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Rewrite("in.yaml", []byte(test.text), options(t, "--to reg.corp --image-pull-secret regcred"))
			switch {
			case test.want == "" && err == nil:
				t.Logf("%s%v", r.Text, r.Untouched)
			case err == nil || !strings.HasPrefix(err.Error(), test.want) || test.want == "":
				t.Errorf("got %v\n%s\nwant %s", err, r.Text, test.want)
			}
		})
	}
}

// A list of secrets that cannot be extended is reported; the images are changed anyway.
func TestRewriteWithoutSecret(t *testing.T) {
	for _, secrets := range []string{"x", "&e [*s]", "{name: x}"} {
		text := "apiVersion: v1\nkind: Pod\nx: &s {name: a}\nspec:\n  imagePullSecrets: " + secrets + "\n  containers: [{image: a:1}]\n"
		out, log := rewritten(t, text, options(t, "--to reg.corp --image-pull-secret regcred"))
		if out != strings.Replace(text, "a:1", "reg.corp/library/a:1", 1) ||
			log != "in.yaml:5:3: Pod: spec.imagePullSecrets: the pull secret cannot be added to the present value; write it as a list of - name: regcred\n" {
			t.Errorf("%s: %s\n%s", secrets, log, out)
		}
	}
}

// The check refuses an edit that does too much.
func TestRewriteCheckControl(t *testing.T) {
	for _, wrong := range []document.Edit{
		{Span: document.Span{Start: 0, End: 0}, Text: "b: 1\n", Mutate: func() {}},
		{Span: document.Span{Start: 0, End: 10}, Text: "image: b:1", Mutate: func() {}},
		{Span: document.Span{Start: 0, End: 10}, Text: "image: [", Mutate: func() {}},
		{Span: document.Span{Start: 0, End: 0}, Text: "x: 1\n---\n", Mutate: func() {}},
	} {
		src, err := document.NewSource("in.yaml", []byte("image: a:1\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := &rewriter{src: src, edits: []document.Edit{wrong}, wanted: []wanted{{text: "a:1", ref: imagestest.MustParse(t, "a:1")}}}
		r.out.Text = []byte(document.Apply(src.Text, r.edits))
		if err := r.check(src.Documents()); err == nil {
			t.Errorf("%q passed", r.out.Text)
		}
	}
}

// Whatever the text, a rewrite changes only images (and pull secrets), and a second rewrite changes
// nothing.
func FuzzRewrite(f *testing.F) {
	for _, test := range imagestest.Manifests {
		f.Add(test.Text, false)
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(imagestest.Section(a, "in.yaml"), true)
	}
	o := options(f, "--to reg.corp:5000/m --env")
	f.Fuzz(func(t *testing.T, text string, secret bool) {
		if secret {
			o.PullSecret = "regcred"
		} else {
			o.PullSecret = ""
		}
		r, err := Rewrite("in.yaml", []byte(text), o)
		if err != nil {
			if strings.Contains(err.Error(), errDiffers.Error()) {
				t.Logf("refused: %v", err)
			}
			return
		}
		if len(r.Changes) == 0 && !secret && string(r.Text) != text {
			t.Errorf("no image was changed, but the text:\n%s", r.Text)
		}
		if !secret {
			if err := imagestest.Outside(text, string(r.Text)); err != nil {
				t.Errorf("%v:\n%q\nbefore\n%q", err, r.Text, text)
			}
		}
		again, err := Rewrite("in.yaml", r.Text, o)
		if err != nil {
			t.Fatalf("the result cannot be read: %v\n%s", err, r.Text)
		}
		if string(again.Text) != string(r.Text) {
			t.Errorf("a second time it is\n%s\nafter\n%s", again.Text, r.Text)
		}
		if len(r.glued) > 0 {
			inStream(t, r)
		}
	})
}

// inStream checks that the documents of a file can be read after those of another file.
func inStream(t *testing.T, r Result) {
	t.Helper()
	stream := "image: x:1\n---\n" + strings.TrimPrefix(string(r.Stream()), document.ByteOrderMark)
	src, err := document.NewSource("in.yaml", []byte(stream))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range src.Documents() {
		if d.Err != nil || d.Glued {
			t.Errorf("a document cannot be read (%v), or is not separate, in\n%s", d.Err, stream)
		}
	}
}

// JSON documents without a separator get one in a stream with other documents, and stay unchanged
// in a file of their own.
func TestRewriteStream(t *testing.T) {
	o := options(t, "--to reg.corp")
	for text, want := range map[string]string{
		`{"image": "a:1"}` + "\n" + `{"image": "b:1"}` + "\n":           `{"image": "reg.corp/library/a:1"}` + "\n---\n" + `{"image": "reg.corp/library/b:1"}` + "\n",
		`{"image": "a:1"}{"image": "b:1"} []`:                           `{"image": "reg.corp/library/a:1"}` + "\n---\n" + `{"image": "reg.corp/library/b:1"} ` + "\n---\n[]",
		`{"x": "\ud83d\ude00"}` + "\r\n\t " + `{"image": "b:1"}` + "\n": `{"x": "\ud83d\ude00"}` + "\r\n---\n" + `{"image": "reg.corp/library/b:1"}` + "\n",
		`{"image": "a:1"}` + "\n---\n" + `{"image": "b:1"}` + "\n":      `{"image": "reg.corp/library/a:1"}` + "\n---\n" + `{"image": "reg.corp/library/b:1"}` + "\n",
		"image: a:1\n": "image: reg.corp/library/a:1\n",
	} {
		r, err := Rewrite("in.json", []byte(text), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(r.Stream()); got != want {
			t.Errorf("%q becomes\n%q, want\n%q", text, got, want)
		}
		inStream(t, r)
	}
}

// The time for thousands of images in one value, and of documents in one value, grows linearly.
func TestRewriteManyInOneValue(t *testing.T) {
	const n = 20_000
	o := options(t, "--to reg.corp --env")
	for name, text := range map[string]string{
		"commas":    "aImages: " + strings.Repeat("quay.io/a/b:1,", n) + "\n",
		"lines":     "aImages: |\n" + strings.Repeat("  x=quay.io/a/b:1\n", n),
		"documents": "a: |\n" + strings.Repeat("  image: quay.io/a/b:1\n  ---\n", n),
		"brackets":  "a: \"" + strings.Repeat("[", 20*n) + "/:\"\nb: {image: quay.io/a/b:1}\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Rewrite("in.yaml", []byte(text), o)
			if err != nil || string(r.Text) != strings.ReplaceAll(text, "quay.io/a/b", "reg.corp/a/b") {
				t.Errorf("%v, %d bytes", err, len(r.Text))
			}
		})
	}
}
