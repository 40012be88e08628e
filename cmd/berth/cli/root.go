// Package cli holds what the verbs of berth share: the flags that each has, output formats, exit codes,
// help, reading the config, and standard input that a signal ends. It knows no verb.
//
// Start with [Run].
package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/node/reconcile"
)

// Options are the flags that every verb has.
type Options struct {
	Config string // - for standard input, "" for that of the node
	Root   string
	Output string // one of the verb's formats
	// Terminal is standard input as the program got it; the commands' own is another reader, whose
	// reads end at a signal.
	Terminal io.Reader
	stdin    io.Reader
}

// Run runs a command line and returns the exit code. The first signal cancels the context, the
// second one ends the process.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer, verbs func(*Options) []*cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	root := NewRoot(ctx, stdin, stdout, stderr, verbs)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil {
		err = interrupted(err)
	}
	return PrintError(err, stderr)
}

// NewRoot returns the command that has the verbs.
func NewRoot(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, verbs func(*Options) []*cobra.Command) *cobra.Command {
	o := &Options{Root: "/", Terminal: stdin, stdin: Interruptible(ctx, stdin)}
	cmd := &cobra.Command{
		Use:   "berth",
		Short: "Decides where container images are pulled from, and with which credentials",
		Long: `Berth turns one RegistryConfig into the hosts.toml files that containerd reads
before each pull. Nothing has to be restarted.

Exit codes: 0 done, 1 failed, 2 wrong usage. plan: 0 no difference,
1 differences, 2 failed.

Documentation: ` + docs.URL("README.md"),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	version := cmd.Flags().Bool("version", false, "print the version, as berth version does")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			verb, _, err := cmd.Find([]string{"version"})
			if err != nil {
				return err
			}
			return verb.RunE(verb, nil)
		}
		return cmd.Help()
	}
	cmd.SetIn(o.stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
	flags := cmd.PersistentFlags()
	flags.VarP((*FileName)(&o.Config), "config", "c", "the RegistryConfig, - for standard input (default "+reconcile.ConfigFile+" below the root)")
	flags.Var((*FileName)(&o.Root), "root", "directory that holds the files of the node")
	flags.StringVarP(&o.Output, "output", "o", "text", "text or json")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return o.checkOutput(cmd) }
	cmd.AddCommand(verbs(o)...)
	o.describeOutput(cmd)
	checkArguments(cmd)
	strictHelp(cmd)
	return cmd
}

// checkArguments makes wrong arguments of a command, and of those below it, a usage error.
func checkArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		checkArguments(sub)
	}
	c.Args = asUsage(c.Args)
}

// asUsage makes wrong arguments a usage error.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		return Usage(fmt.Errorf("%w;%s see %q", err, suggestions(cmd, args), cmd.CommandPath()+" --help"))
	}
}

// suggestions asks whether a verb with a similar name was meant; "" if there is none.
func suggestions(cmd *cobra.Command, args []string) string {
	if len(args) == 0 {
		return ""
	}
	cmd.SuggestionsMinimumDistance = 2 // letters
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return " did you mean " + strings.Join(similar, " or ") + "?"
	}
	return ""
}

// Logger logs warnings and errors of a command to stderr.
func (o *Options) Logger(stderr io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}
