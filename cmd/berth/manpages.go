//go:build manpages

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/credprovider/command"
)

// main writes what comes with the programs, for test/release/pages.sh: man/*.1 and completion.SHELL
// in the directory of its argument. It replaces main.go with the build tag manpages, so that berth
// does not hold the program that renders man pages. The date is SOURCE_DATE_EPOCH.
func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manpages DIRECTORY")
		os.Exit(2)
	}
	if err := writePages(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manpages:", err)
		os.Exit(1)
	}
}

func writePages(ctx context.Context, dir string) error {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script bytes.Buffer
		root := cli.NewRoot(ctx, strings.NewReader(""), &script, os.Stderr, verbs)
		root.SetArgs([]string{"completion", shell})
		if err := root.ExecuteContext(ctx); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "completion."+shell), script.Bytes(), 0o644); err != nil {
			return err
		}
	}
	man := filepath.Join(dir, "man")
	if err := os.MkdirAll(man, 0o755); err != nil {
		return err
	}
	root := cli.NewRoot(ctx, strings.NewReader(""), os.Stdout, os.Stderr, verbs)
	root.InitDefaultCompletionCmd()
	pages := []*cobra.Command{root}
	for _, p := range []struct{ name, short string }{
		{command.Name, "Give kubelet credentials for images"},
		{command.Fetcher, "Ask AWS for a token, in place of berth-credential-provider"},
		{command.Helper, "Give docker, podman, buildah and crane credentials for registries"},
	} {
		c, err := helped(p.name, p.short)
		if err != nil {
			return err
		}
		pages = append(pages, c)
	}
	for _, c := range pages {
		c.DisableAutoGenTag = true
		escape(c)
		header := &doc.GenManHeader{Section: "1", Source: "Berth", Manual: "Berth"}
		if err := doc.GenManTree(c, header, man); err != nil {
			return err
		}
	}
	return nil
}

// helped describes a program by its --help, which is shown as it is.
func helped(name, short string) (*cobra.Command, error) {
	var help, errs bytes.Buffer
	if code := command.Run([]string{"--help"}, strings.NewReader(""), &help, &errs, command.Program{Name: name}); code != 0 {
		return nil, fmt.Errorf("%s --help: exit code %d: %s", name, code, &errs)
	}
	c := &cobra.Command{
		Use: name, Short: short, Long: "```\n" + help.String() + "```",
		Run: func(*cobra.Command, []string) {},
	}
	// The text has the flags.
	c.InitDefaultHelpFlag()
	return c, c.Flags().MarkHidden("help")
}

// escape keeps the characters that mean something in Markdown, from which cobra makes the pages. A
// line with a tab is code there.
func escape(c *cobra.Command) {
	plain := strings.NewReplacer(`\`, `\\`, "<", `\<`, ">", `\>`, "*", `\*`, "_", `\_`, "#", `\#`, "`", "\\`")
	if !strings.HasPrefix(c.Long, "```") {
		var escaped strings.Builder
		for line := range strings.Lines(c.Long) {
			if !strings.HasPrefix(line, "\t") {
				line = plain.Replace(line)
			}
			escaped.WriteString(line)
		}
		c.Long = escaped.String()
	}
	for _, child := range c.Commands() {
		escape(child)
	}
}
