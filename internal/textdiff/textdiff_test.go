package textdiff

import (
	"bytes"
	"testing"
)

func TestWrite(t *testing.T) {
	const before = "one\n-- two\nthree\nfour\nfive\n"
	const after = "one\n++ two\nthree\nfour\nfive"
	paint := func(style, text string) string { return style + "(" + text + ")" }
	for _, c := range []struct {
		before, after string
		context       int
		want          string
	}{
		{before, before, 3, ""},
		{"", "a\n", 3, "hunk(  @@ -0,0 +1 @@)\nadd(  +a)\n"},
		{before, after, 1, "hunk(  @@ -1,5 +1,5 @@)\n" +
			"   one\nremove(  --- two)\nadd(  +++ two)\n   three\n   four\nremove(  -five)\nadd(  +five)\n  \\ No newline at end of file\n"},
		{before, after, 0, "hunk(  @@ -2 +2 @@)\nremove(  --- two)\nadd(  +++ two)\n" +
			"hunk(  @@ -5 +5 @@)\nremove(  -five)\nadd(  +five)\n  \\ No newline at end of file\n"},
	} {
		var out bytes.Buffer
		Write(&out, Unified(c.before, c.after, c.context), paint)
		if out.String() != c.want {
			t.Errorf("%q to %q:\n%swant\n%s", c.before, c.after, &out, c.want)
		}
	}
}
