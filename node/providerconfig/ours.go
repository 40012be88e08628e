package providerconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Wanted is what Berth's entry has to hold beside the names of ECR.
type Wanted struct {
	Images       []string // in the form of matchImages
	RequireRules bool     // it gets the argument [RequireRules]
	// RoleAnnotations are those annotations of the pod's service account that kubelet passes to the
	// provider, together with a token of that account. Without any it passes no token. kubelet knows
	// them since 1.34 ([TokensSince]).
	RoleAnnotations []string
}

// Ours returns Berth's own configuration: the manifest with what is wanted and what now, the present
// file, has already. An image or an annotation that is no longer wanted stays, because kubelet
// reads the file only at its start and a removal is not worth a restart. For the same reason the
// argument [RequireRules] is added only to a new file, or together with an image.
func Ours(want Wanted, now []byte) ([]byte, error) {
	wanted, require := want.Images, want.RequireRules
	e, err := ourEntry()
	if err != nil {
		return nil, err
	}
	old, _ := entryIn(now)
	more := missing(append(slices.Clone(wanted), old.MatchImages...), e.MatchImages)
	slices.Sort(more)
	const head = "\n  matchImages:\n"
	config := Config()
	if slices.Contains(old.Args, RequireRules) ||
		require && (len(now) == 0 || len(missing(wanted, old.MatchImages)) > 0) {
		config = ConfigRequiringRules()
	}
	before, list, ok := strings.Cut(string(config), head)
	if !ok {
		return nil, fmt.Errorf("the manifest of the credential provider: %w", errNotConfig)
	}
	var text strings.Builder
	text.WriteString(before + head)
	for line := range strings.Lines(list) {
		if !strings.HasPrefix(line, "  - ") {
			for _, image := range more {
				fmt.Fprintf(&text, "  - %q\n", image)
			}
			more = nil
		}
		text.WriteString(line)
	}
	for _, line := range old.TokenAttributes.with(want.RoleAnnotations).lines() {
		text.WriteString("  " + line + "\n")
	}
	return []byte(text.String()), nil
}

// missing returns each of wanted that is not in there, once.
func missing(wanted, there []string) []string {
	var more []string
	for _, w := range wanted {
		if !slices.Contains(there, w) && !slices.Contains(more, w) {
			more = append(more, w)
		}
	}
	return more
}

// plain reports whether Berth's entry is as Berth wrote it: without added arguments, environment or
// comments.
func plain(data []byte) bool {
	e, _ := entryIn(data)
	without, err := RemoveEntry(data)
	if err != nil {
		return false
	}
	again, err := appendEntry(without, e)
	return err == nil && bytes.Equal(again, data)
}
