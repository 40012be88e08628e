package managedfile

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

func TestMarker(t *testing.T) {
	f := hosts("docker.io", "server = \"x\"\n")
	content := string(f.Content())
	line, body, _ := strings.Cut(content, "\n")
	if !strings.HasPrefix(line, "# Written by berth; ") || body != string(f.Body) {
		t.Errorf("%q", content)
	}
	f.Comment = ""
	if string(f.Content()) != string(f.Body) {
		t.Errorf("without a comment sign: %q", f.Content())
	}
	for name, c := range map[string]struct {
		content             string
		intact, first, some bool
	}{
		"as written":        {content, true, true, true},
		"other words":       {strings.Replace(content, "edits are", "long ago", 1), true, true, true},
		"another sign":      {strings.Replace(content, "#", "//", 1), true, true, true},
		"empty body":        {string(File{Comment: ";"}.Content()), true, true, true},
		"edited":            {content + "x", false, true, true},
		"torn":              {content[:len(content)-3], false, true, true},
		"torn in the line":  {content[:40], false, false, false},
		"the line alone":    {line, false, true, true},
		"line above":        {"x\n" + content, false, false, true},
		"carriage returns":  {strings.ReplaceAll(content, "\n", "\r\n"), false, true, true},
		"quoted":            {"as in `" + line + "`\n", false, false, false},
		"no comment":        {strings.TrimPrefix(content, "# "), false, false, false},
		"hash too short":    {line[:len(line)-1] + "\n" + body, false, false, false},
		"no hash":           {line[:len(line)-64] + strings.Repeat("z", 64) + "\n" + body, false, false, false},
		"nothing":           {"", false, false, false},
		"somebody's":        {"server = \"x\"\n", false, false, false},
		"another programme": {"# Written by hand sha256:" + strings.Repeat("0", 64) + "\n", false, false, false},
	} {
		b := []byte(c.content)
		if record.Intact(b) != c.intact || record.StartsWithMarker(b) != c.first || record.HasMarker(b) != c.some {
			t.Errorf("%s: intact %v, starts %v, has %v", name, record.Intact(b), record.StartsWithMarker(b), record.HasMarker(b))
		}
	}
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte("x"), "#")
	f.Add([]byte(""), "//")
	f.Add(hosts("docker.io", "a\n").Content(), ";")
	f.Fuzz(func(t *testing.T, body []byte, comment string) {
		w := File{Path: docker, Body: body, Comment: comment, Mode: 0o644}
		if checkFile(Scope{Name: "x"}, w) != nil {
			return
		}
		if comment != "" && !record.Intact(w.Content()) {
			t.Errorf("%q is not intact", w.Content())
		}
		if record.Intact(body) && !record.StartsWithMarker(body) || record.StartsWithMarker(body) && !record.HasMarker(body) {
			t.Errorf("%q", body)
		}
		v := classify(nil, nodefs.Entry{Kind: nodefs.Regular, Content: body})
		if v.owner == Ours && !record.Intact(body) {
			t.Errorf("%q is taken for ours", body)
		}
	})
}
