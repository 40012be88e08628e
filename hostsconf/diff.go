package hostsconf

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/textdiff"
)

// WriteDiff prints the changes as one unified diff per file, with secrets masked. A conflict that
// onConflict: adopt resolves is shown as the diff of adopting the file. Unchanged files are left
// out. One line above the diff of a written file lists its hosts in order.
func WriteDiff(w io.Writer, desired DesiredFiles, changes []Change, paint textdiff.Paint) error {
	var out bytes.Buffer
	for _, c := range changes {
		if c.Action == managedfile.Unchanged {
			continue
		}
		style := textdiff.StyleHead
		if c.Action == managedfile.Conflict {
			style = textdiff.StyleConflict
		}
		out.WriteString(paint(style, headline(c)))
		out.WriteByte('\n')
		if dir, ok := desired.dirs[c.Path]; ok && Writes(c) {
			fmt.Fprintf(&out, "  %s\n", dir.Describe())
		}
		writeFileDiff(&out, c, paint)
		out.WriteByte('\n')
	}
	_, err := w.Write(out.Bytes())
	return err
}

func headline(c Change) string {
	s := fmt.Sprintf("%s %s", c.Action, c.Path)
	if c.After != nil && Writes(c) {
		s += fmt.Sprintf(" (mode %04o)", c.After.Mode.Perm())
	}
	if c.Reason != "" {
		s += ": " + c.Reason
	}
	return s
}

// Describe says in one line which hosts serve images of the upstream, in order.
func (d Directory) Describe() string {
	what := "images of " + d.Upstream
	if d.Upstream == Default {
		what = "images of every other registry"
	}
	var hosts []string
	for _, h := range d.Hosts {
		hosts = append(hosts, h.describe())
	}
	switch {
	case d.Server != nil:
		hosts = append(hosts, d.Server.describe())
	case d.Upstream == Default, d.ownRule():
		hosts = append(hosts, "the registry itself")
	default:
		hosts = append(hosts, UpstreamURL(d.Upstream, false).String())
	}
	return what + " come from " + strings.Join(hosts, ", then ")
}

func (h Host) describe() string {
	if h.Authorization.IsZero() {
		return h.URL.String()
	}
	return h.URL.String() + " (with a login)"
}

func writeFileDiff(out *bytes.Buffer, c Change, paint textdiff.Paint) {
	switch {
	case path.Base(c.Path) != fileName || c.Action == managedfile.GracePeriod:
		return
	case adoptable(c) && c.Before.Kind == nodefs.Regular:
		out.WriteString("  not applied; onConflict: adopt would change it as follows, and berth restore would bring the original back:\n")
	case c.Action == managedfile.Conflict:
		return
	}
	var after []byte
	if c.After != nil {
		after = c.After.Content()
	}
	before := c.Before.Content
	theirs := masking{ours: c.Before.Owner == managedfile.Ours, known: valuesOf(after)}
	textdiff.Write(out, textdiff.Unified(theirs.shown(before), masking{ours: true}.shown(after), 3), paint)
	if len(before) > 0 && len(after) > 0 && !slices.Equal(headers(before), headers(after)) {
		out.WriteString(paint(textdiff.StyleAdd, "  + a login or another secret value changes") + "\n")
	}
}

// shown returns content as a diff shows it: without secrets, and without the marker line, whose
// hash changes with every edit.
func (m masking) shown(content []byte) string {
	content = record.WithoutMarker(content)
	if len(content) == 0 {
		return ""
	}
	return string(m.mask(content))
}

// valuesOf returns the values in a file that Berth wrote, header values excluded.
func valuesOf(content []byte) map[string]bool {
	tokens, _ := tokensOf(content)
	values := map[string]bool{}
	for _, t := range tokens {
		if t.value && !t.header {
			values[string(content[t.start:t.end])] = true
		}
	}
	return values
}

// headers lists the values of the secret headers of a hosts.toml.
func headers(content []byte) []string {
	tokens, _ := tokensOf(content)
	var values []string
	for _, t := range tokens {
		if t.value && t.header && SecretHeader(t.name()) {
			values = append(values, string(content[t.start:t.end]))
		}
	}
	return values
}

// Upstream returns the upstream of the hosts.toml at a path below certs.d, or "" for any other
// file.
func Upstream(file string) string {
	if path.Base(file) != fileName {
		return ""
	}
	return UpstreamOf(path.Base(path.Dir(file)))
}
