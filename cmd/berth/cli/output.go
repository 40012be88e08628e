package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	yaml "go.yaml.in/yaml/v3"
	"golang.org/x/term"
)

// formatsKey is the annotation of a verb with the formats that its --output accepts.
const formatsKey = "formats"

// Formats is the annotation of a verb whose formats are not text and json.
func Formats(formats ...string) map[string]string {
	return map[string]string{formatsKey: strings.Join(formats, ",")}
}

func formatsOf(c *cobra.Command) []string {
	if formats, ok := c.Annotations[formatsKey]; ok {
		return strings.Split(formats, ",")
	}
	return []string{"text", "json"}
}

// checkOutput refuses a format that the verb does not have.
func (o *Options) checkOutput(c *cobra.Command) error {
	if formats := formatsOf(c); !slices.Contains(formats, o.Output) {
		return Usage(fmt.Errorf("--output: %q is not a format here; use %s", o.Output, oneOf(formats)))
	}
	return nil
}

// describeOutput gives each verb its own --output, whose help and completion list the formats of
// the verb. Verbs without such output hide it.
func (o *Options) describeOutput(c *cobra.Command) {
	for _, sub := range c.Commands() {
		o.describeOutput(sub)
	}
	if !c.Runnable() || !c.HasParent() {
		return
	}
	formats := formatsOf(c)
	flags := c.Flags()
	flags.StringVarP(&o.Output, "output", "o", "text", oneOf(formats))
	complete := cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)
	// It fails only for a flag that is missing or has a completion.
	_ = c.RegisterFlagCompletionFunc("output", complete)
	if slices.Contains([]string{"agent", "convert", "place"}, c.Name()) {
		_ = flags.MarkHidden("output")
	}
}

// Print writes a result in the format of --output; text writes it as text.
func (o *Options) Print(w io.Writer, result any, text func(io.Writer) error) error {
	switch o.Output {
	case "json":
		return PrintJSON(w, result)
	case "yaml":
		return printYAML(w, result)
	}
	return text(w)
}

// PrintJSON prints v with two spaces of indentation.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printYAML(w io.Writer, v any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	return errors.Join(e.Encode(v), e.Close())
}

// Painter colours text if w is a terminal and NO_COLOR is not set (https://no-color.org).
func Painter(w io.Writer) func(style, text string) string {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	codes := map[string]string{"add": "32", "remove": "31", "hunk": "36", "head": "1", "conflict": "1;33"}
	return func(style, text string) string {
		return "\x1b[" + codes[style] + "m" + text + "\x1b[0m"
	}
}

func oneOf(names []string) string {
	switch len(names) {
	case 1:
		return names[0]
	case 2:
		return names[0] + " or " + names[1]
	}
	return names[0] + ", " + oneOf(names[1:])
}
