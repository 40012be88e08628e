// Command place puts the credential provider and the configuration that names it
// on a node, for the init container of the chart: its image has no shell.
//
// What it promises: the program lies there whole before the configuration names
// it, and goes after it, because a kubelet that is told of a provider which is
// not there does not start; and a file that it did not put there, or that
// somebody has changed since, is left alone. It never touches kubelet's flags:
// that is a restart, and the business of "berth install".
//
// Start reading at placer.place.
package main

import (
	"flag"
	"io"
	"log/slog"
	"os"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/providerconfig"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run carries out a command line and gives the exit code: 0 done, 1 failed, 2
// wrong usage.
func run(args []string, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	flags := flag.NewFlagSet("place", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var p placer
	var root, text string
	var remove bool
	flags.StringVar(&root, "root", "/host", "directory below which the files of the node lie")
	flags.StringVar(&p.source, "provider", "/berth-credential-provider", "the program to put there")
	flags.StringVar(&p.dir, "bin-dir", "/usr/local/libexec/berth", "where kubelet looks for it")
	flags.StringVar(&p.config, "config", "/etc/berth/credential-provider-config.yaml", "the configuration that names it")
	flags.StringVar(&text, "config-from", "", "a file with that configuration, in place of the one that comes with Berth")
	flags.BoolVar(&remove, "remove", false, "take both away again")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil || flags.NArg() > 0:
		return 2
	}
	p.log, p.text = log, providerconfig.ConfigRequiringRules()
	if err := p.work(root, text, remove); err != nil {
		log.Error("credential provider is not as it should be", "error", err)
		return 1
	}
	return 0
}

func (p *placer) work(root, text string, remove bool) (err error) {
	if text != "" {
		if p.text, err = os.ReadFile(text); err != nil {
			return err
		}
	}
	if p.root, err = managedfile.OpenRoot(root); err != nil {
		return err
	}
	defer p.root.Close()
	if remove {
		return p.remove()
	}
	return p.place()
}
