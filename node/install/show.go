package install

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/textdiff"
	"github.com/berth-registry/berth/node/install/hide"
)

// Write prints a plan: what was found, each file as a diff, each restart. Values in foreign files
// that may be secrets are not shown.
func (p Plan) Write(w io.Writer, paint textdiff.Paint) error {
	var out bytes.Buffer
	for i, s := range p.Sections {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, line := range s.Found {
			fmt.Fprintf(&out, "%s\n", line)
		}
		for _, c := range s.Changes {
			c.write(&out, paint)
		}
		if s.Restart != nil {
			s.Restart.write(&out, paint)
		}
		for _, line := range s.Notes {
			fmt.Fprintf(&out, "note: %s\n", line)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (r Restart) write(out *bytes.Buffer, paint textdiff.Paint) {
	if r.Unit == "" {
		fmt.Fprintf(out, "\n%s\n  %s\n", paint(textdiff.StyleConflict, r.Why), r.Means)
		return
	}
	fmt.Fprintf(out, "\n%s\n  %s; %s\n", paint(textdiff.StyleConflict, "restart "+r.Unit+", once"), r.Why, r.Means)
}

func (c Change) write(out *bytes.Buffer, paint textdiff.Paint) {
	head := c.What + " " + c.Path
	if c.Detail != "" {
		head += " (" + c.Detail + ")"
	}
	fmt.Fprintf(out, "\n%s\n", paint(textdiff.StyleHead, head))
	if c.Before == nil && c.After == nil || c.What == "remove" && !c.Foreign {
		return // a program, or a file of Berth, which was shown when it was written
	}
	diff := c.diff()
	if diff == "" && !bytes.Equal(c.Before, c.After) {
		out.WriteString("  the change is in a line that may hold a secret, which is not shown\n")
	}
	textdiff.Write(out, diff, paint)
}

// diff is a unified diff with few lines of context.
func (c Change) diff() string {
	before, after := string(record.WithoutMarker(c.Before)), string(record.WithoutMarker(c.After))
	context := 3
	if c.Foreign {
		context = 1
		if strings.Contains(before+after, `"""`) || strings.Contains(before+after, "'''") {
			context = 0 // a line may be the inside of a value
		}
		before, after = hide.Text(before), hide.Text(after)
	} else {
		before, after = withoutComments(before), withoutComments(after)
	}
	diff := textdiff.Unified(before, after, context)
	return strings.ReplaceAll(diff, "\\ No newline at end of file\n", "")
}

// withoutComments removes the comments of a file of Berth. A command in it comes from a foreign
// file, so its secrets are hidden.
func withoutComments(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "ExecStart="); ok && strings.TrimSpace(command) != "" {
			line = "ExecStart=" + hide.Command(command) + "\n"
		}
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}
