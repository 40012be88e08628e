package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
)

// An empty name, mostly an unset variable of a script, means neither the current directory nor the
// default, for every verb.
func TestEmptyNames(t *testing.T) {
	t.Chdir(t.TempDir())
	root := cli.NewRoot(t.Context(), strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, verbs)
	var verbs [][]string
	var collect func(c *cobra.Command, path []string)
	collect = func(c *cobra.Command, path []string) {
		if c.Runnable() && len(path) > 0 {
			verbs = append(verbs, path)
		}
		for _, sub := range c.Commands() {
			collect(sub, append(path[:len(path):len(path)], sub.Name()))
		}
	}
	collect(root, nil)
	if len(verbs) < 12 {
		t.Fatalf("only these verbs were found: %v", verbs)
	}
	for _, verb := range verbs {
		for _, empty := range [][]string{{"--root", ""}, {"--root="}, {"-c", ""}, {"--config="}} {
			var stdout, stderr bytes.Buffer
			args := append(append([]string{}, verb...), empty...)
			if got := run(args, strings.NewReader(""), &stdout, &stderr); got != cli.ExitUsage {
				t.Errorf("%q: exit code %d\n%s", args, got, &stderr)
			}
			if !strings.Contains(stderr.String(), "is empty; name one, or leave the flag out") {
				t.Errorf("%q: %s", args, &stderr)
			}
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("written to the current directory: %v, %v", left, err)
	}
}
