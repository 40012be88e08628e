package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// strictHelp makes an unknown verb or shell wrong usage for the two verbs that cobra adds: cobra
// itself prints its help and succeeds, so that a script would continue without output.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpAbout
		case "completion":
			// cobra checks the arguments only of commands that can run.
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
		return Usage(fmt.Errorf("there is no verb %q;%s see %q", strings.Join(args, " "), suggestions(c, rest), help.Root().Name()+" help"))
	}
	c.InitDefaultHelpFlag()
	return c.Help()
}

// shellNamed refuses a shell that is not a verb below completion.
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
