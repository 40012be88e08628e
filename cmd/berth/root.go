package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/reconcile"
)

// options are the flags that every verb has.
type options struct {
	config string
	root   string
	output string
	stdin  io.Reader
}

func newRoot(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	o := &options{}
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
			return o.printVersion(cmd.OutOrStdout())
		}
		return cmd.Help()
	}
	o.stdin = interruptible(ctx, stdin)
	cmd.SetIn(o.stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := cmd.PersistentFlags()
	flags.VarP((*named)(&o.config), "config", "c", "the RegistryConfig, - for standard input (default "+reconcile.ConfigFile+" below the root)")
	o.root = "/"
	flags.Var((*named)(&o.root), "root", "directory that holds the files of the node")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return o.checkOutput(cmd) }
	install := newInstall(o)
	install.SetIn(stdin) // it checks whether that is a terminal
	cmd.AddCommand(newPlan(o), newApply(o), newRestore(o), newConvert(o), newCredentials(o), newAgent(o), newStatus(o), newDoctor(o), install, newUninstall(o), newPlace(o), newImages(o), newTrace(o), newStartupTaint(), newVersion(o))
	o.describeOutput(cmd)
	for _, c := range cmd.Commands() {
		c.Args = asUsage(c.Args)
	}
	cmd.Args = asUsage(cmd.Args)
	strictHelp(cmd)
	return cmd
}

// named is the value of a flag that names a file or directory. An empty name, mostly an unset
// variable of a script, is an error: it must mean neither the current directory nor the default.
type named string

func (n *named) String() string { return string(*n) }
func (n *named) Type() string   { return "string" }

func (n *named) Set(value string) error {
	if value == "" {
		return errors.New("is empty; name one, or leave the flag out")
	}
	*n = named(value)
	return nil
}

// asUsage makes wrong arguments a usage error.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		return usage(fmt.Errorf("%w;%s see %q", err, suggestions(cmd, args), cmd.CommandPath()+" --help"))
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

// open opens the node and reads the config, whose warnings it prints to stderr.
func (o *options) open(stderr io.Writer) (*reconcile.Node, *config.Config, error) {
	n, err := reconcile.Open(o.root)
	if err != nil {
		return nil, nil, err
	}
	cfg, warnings, err := o.readConfig(n.Root)
	if err != nil {
		return nil, nil, errors.Join(err, n.Close())
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	return n, cfg, nil
}

// readConfig reads the config that --config names, - for standard input, or that of the node. If that
// file is missing, the error is a *noConfigError.
func (o *options) readConfig(root *nodefs.Root) (*config.Config, []config.Warning, error) {
	if o.config == "-" {
		file, err := config.ReadFrom(o.stdin, "stdin")
		if err != nil {
			return nil, nil, err
		}
		return file.Parse()
	}
	file, err := config.ReadOnNode(root, o.config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &noConfigError{err}
	}
	if err != nil {
		return nil, nil, err
	}
	return file.Parse()
}

// noConfigError: the RegistryConfig is missing. A missing file that the config names is
// another error.
type noConfigError struct{ err error }

func (e *noConfigError) Error() string {
	return e.err.Error() + "; write a RegistryConfig there, or name one with --config"
}

func (e *noConfigError) Unwrap() error { return e.err }

// logger logs warnings and errors of a command to stderr.
func (o *options) logger(stderr io.Writer) *slog.Logger {
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
