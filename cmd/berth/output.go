package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// formatsKey is the annotation of a verb with the formats that its --output accepts.
const formatsKey = "formats"

// takes is the annotation of a verb whose formats are not text and json.
func takes(formats ...string) map[string]string {
	return map[string]string{formatsKey: strings.Join(formats, ",")}
}

func formatsOf(c *cobra.Command) []string {
	if formats, ok := c.Annotations[formatsKey]; ok {
		return strings.Split(formats, ",")
	}
	return []string{"text", "json"}
}

// checkOutput refuses a format that the verb does not have.
func (o *options) checkOutput(c *cobra.Command) error {
	if formats := formatsOf(c); !slices.Contains(formats, o.output) {
		return usage(fmt.Errorf("--output: %q is not a format here; use %s", o.output, oneOf(formats)))
	}
	return nil
}

// describeOutput gives each verb its own --output, whose help and completion list the formats of
// the verb. Verbs without such output hide it.
func (o *options) describeOutput(c *cobra.Command) {
	for _, sub := range c.Commands() {
		o.describeOutput(sub)
	}
	if !c.Runnable() || !c.HasParent() {
		return
	}
	formats := formatsOf(c)
	flags := c.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", oneOf(formats))
	complete := cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)
	// It fails only for a flag that is missing or has a completion.
	_ = c.RegisterFlagCompletionFunc("output", complete)
	if slices.Contains([]string{"agent", "convert", "place"}, c.Name()) {
		_ = flags.MarkHidden("output")
	}
}
