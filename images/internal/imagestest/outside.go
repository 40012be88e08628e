package imagestest

import (
	"errors"
	"fmt"
	"io"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Outside compares a text with its rewritten form, independently of package rewrite: by bytes
// without those that image names consist of, and value by value and comment by comment with the
// YAML library.
func Outside(before, after string) error {
	if !strings.Contains(before, "\\") { // escapes are not kept
		if withoutNames(before) != withoutNames(after) {
			return errors.New("other bytes")
		}
	}
	a, err := decodeAll(before)
	if err != nil {
		return nil // one of the documents is not YAML
	}
	b, err := decodeAll(after)
	if err != nil || len(a) != len(b) {
		return fmt.Errorf("%d documents, %w, want %d", len(b), err, len(a))
	}
	for i := range a {
		if err := compareNodes(a[i], b[i]); err != nil {
			return err
		}
	}
	return nil
}

func withoutNames(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`._-/:@*&"[]`, r) {
			return -1
		}
		return r
	}, s)
}

func decodeAll(text string) (all []*yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the library gives up")
		}
	}()
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n yaml.Node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, &n)
	}
}

func compareNodes(a, b *yaml.Node) error {
	if a.HeadComment != b.HeadComment || a.LineComment != b.LineComment || a.FootComment != b.FootComment {
		return fmt.Errorf("line %d: other comments", a.Line)
	}
	if a.Value != b.Value && !strings.Contains(b.Value, "reg.corp:5000") && !strings.HasPrefix(b.Value, "m/") {
		return fmt.Errorf("line %d: %q, before %q", a.Line, b.Value, a.Value)
	}
	if a.Kind == yaml.AliasNode && b.Kind == yaml.ScalarNode {
		return nil
	}
	if a.Kind != b.Kind || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return fmt.Errorf("line %d: another structure", a.Line)
	}
	for i := range a.Content {
		if err := compareNodes(a.Content[i], b.Content[i]); err != nil {
			return err
		}
	}
	return nil
}
