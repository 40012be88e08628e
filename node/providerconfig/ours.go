package providerconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Ours is the manifest with more images: those that are wanted, and those
// that a file of ours names already. kubelet reads it at its start only, so that
// taking out one that nobody needs any more is not worth a restart. Nor is
// require, which makes rules a must: it is added when there is no file yet, or
// when images are.
func Ours(wanted []string, require bool, now []byte) ([]byte, error) {
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
	return []byte(text.String()), nil
}

// missing gives each of those wanted, once, that is not there.
func missing(wanted, there []string) []string {
	var more []string
	for _, w := range wanted {
		if !slices.Contains(there, w) && !slices.Contains(more, w) {
			more = append(more, w)
		}
	}
	return more
}

// plain reports whether our entry has nothing that somebody gave it: arguments,
// an environment, comments.
func plain(data []byte) bool {
	e, _ := entryIn(data)
	without, err := RemoveEntry(data)
	if err != nil {
		return false
	}
	again, err := appendEntry(without, e)
	return err == nil && bytes.Equal(again, data)
}
