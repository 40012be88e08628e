package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berth-registry/berth/agent"
	"github.com/berth-registry/berth/agent/config"
)

// options are the flags that every verb has.
type options struct {
	config string
	root   string
	output string
}

func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "berth",
		Short: "Decides where container images are pulled from, and with which credentials",
		Long: `Berth turns one RegistryConfig into the hosts.toml files that containerd reads
before each pull. Nothing has to be restarted.

Exit codes: 0 done, 1 failed, 2 wrong usage. plan: 0 no difference,
1 differences, 2 failed.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := cmd.PersistentFlags()
	flags.StringVarP(&o.config, "config", "c", "", "the RegistryConfig (default "+agent.ConfigFile+" below the root)")
	flags.StringVar(&o.root, "root", "/", "directory below which the files of the node lie")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error {
		if o.output != "text" && o.output != "json" {
			return usage(fmt.Errorf("--output: %q is not a format; use text or json", o.output))
		}
		return nil
	}
	cmd.AddCommand(newPlan(o), newApply(o), newRestore(o), newConvert(o), newCredentials(o), newAgent(o), newStatus(o), newDoctor(o), newInstall(o), newUninstall(o), newImages(o), newTrace(o), newVersion(o))
	for _, c := range cmd.Commands() {
		c.Args = asUsage(c.Args)
	}
	cmd.Args = asUsage(cmd.Args)
	return cmd
}

// asUsage makes wrong arguments an error of usage.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		return usage(fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help"))
	}
}

// open gives the machine and its config. The warnings of the config have been
// printed to stderr.
func (o *options) open(stderr io.Writer) (*agent.Machine, *config.Config, error) {
	m, err := agent.Open(o.root)
	if err != nil {
		return nil, nil, err
	}
	file := o.config
	if file == "" {
		file = m.ConfigPath()
	}
	cfg, warnings, err := config.Load(file)
	if err != nil {
		if _, statErr := os.Stat(file); errors.Is(statErr, fs.ErrNotExist) {
			err = fmt.Errorf("%w; write a RegistryConfig there, or name one with --config", err)
		}
		return nil, nil, errors.Join(err, m.Close())
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	return m, cfg, nil
}

// logger tells people what goes on behind a command, on stderr.
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

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// painter colours text when w is a terminal and nobody asked for none
// (https://no-color.org).
func painter(w io.Writer) func(style, text string) string {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	codes := map[string]string{"add": "32", "remove": "31", "hunk": "36", "head": "1", "conflict": "1;33"}
	return func(style, text string) string {
		return "\x1b[" + codes[style] + "m" + text + "\x1b[0m"
	}
}
