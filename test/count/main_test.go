package main

import "testing"

func TestCodeLines(t *testing.T) {
	for source, want := range map[string]int{
		"":                                   0,
		"package a\n":                        1,
		"// x\npackage a // y\n\n/* z\n*/\n": 1,
		"package a\n\nvar s = `x\n\n// y`\n": 4,
		"package a\n\nfunc f() {\n\n}\n":     3,
		"package a\n\nvar a, b = 1, /* x */\n\t2\n": 3,
	} {
		if got := codeLines([]byte(source)); got != want {
			t.Errorf("%q: %d lines, want %d", source, got, want)
		}
	}
}
