package source

import (
	"fmt"
	"strings"
)

// Loss is a setting of the input that has no counterpart in the result.
type Loss struct {
	File         string // of an input that is a directory; else ""
	Line, Column int    // in the input, from 1; 0 for a file as a whole
	Field        string // path of the field: mirrors["docker.io"].rewrite
	What         string // the missing setting, and the reason
	Effect       string // the effect on images, or the remedy
}

// String returns file:line:column: field: what; effect. Parts that a loss does not have are left
// out.
func (l Loss) String() string {
	at := ""
	if l.File != "" {
		at = l.File + ":"
	}
	if l.Line > 0 {
		at += fmt.Sprintf("%d:%d:", l.Line, l.Column)
	}
	if l.Field != "" {
		at += " " + l.Field + ":"
	}
	return strings.TrimPrefix(at+" "+l.What+"; "+l.Effect, " ")
}
