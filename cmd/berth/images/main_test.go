package images

import (
	"flag"
	"os"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/test/scripts"
)

var update = flag.Bool("update", false, "write what the scripts expect")

func TestMain(m *testing.M) {
	scripts.Main(m, func() {
		os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, func(o *cli.Options) []*cobra.Command {
			return []*cobra.Command{New(o)}
		}))
	})
}

// testdata/script is the specification of the verbs.
func TestScripts(t *testing.T) {
	scripts.Run(t, *update, map[string]scripts.Command{"damage": damage})
}
