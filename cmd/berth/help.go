package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// strictHelp makes a verb or a shell that does not exist wrong usage for the two
// verbs that cobra brings along: by itself it prints its help and succeeds, so
// that a script goes on with nothing.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpAbout
		case "completion":
			// Arguments are looked at only for what can be run.
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
			c.Args = asUsage(shellNamed)
			for _, shell := range c.Commands() {
				shell.Args = asUsage(shell.Args)
			}
		}
	}
}

// helpAbout prints the help of the verb that the arguments name.
func helpAbout(help *cobra.Command, args []string) error {
	c, rest, err := help.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usage(fmt.Errorf("there is no verb %q;%s see %q", strings.Join(args, " "), suggestions(c, rest), help.Root().Name()+" help"))
	}
	c.InitDefaultHelpFlag()
	return c.Help()
}

// shellNamed refuses a shell that is none of the verbs below completion.
func shellNamed(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var shells []string
	for _, shell := range c.Commands() {
		shells = append(shells, shell.Name())
	}
	return fmt.Errorf("there is no completion for %q; use %s", args[0], oneOf(shells))
}
