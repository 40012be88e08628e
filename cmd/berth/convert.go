package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/config/convert"
)

func newConvert(*options) *cobra.Command {
	var from string
	var force bool
	var formats []string
	for _, f := range convert.Formats() {
		formats = append(formats, string(f))
	}
	cmd := &cobra.Command{
		Use:   "convert [--from FORMAT] FILE",
		Short: "Print a RegistryConfig made from the settings of RKE, k3s, containerd or Rancher",
		Long: `Print a RegistryConfig that does what another tool's settings do:

  rke         cluster.yml or cluster.rkestate: private_registries and kubelet's AWS keys
  k3s         registries.yaml of k3s and RKE2
  containerd  config.toml with registry.mirrors, configs or auths
  rancher     a Cluster of provisioning.cattle.io/v1: spec.rkeConfig.registries

Without --from the format is guessed from the content. FILE may be - for standard
input. The result holds the secrets of the input: keep it in a file of mode 0600.
Its comments say what works differently. Settings that cannot be carried over are
also listed on standard error, and the exit code is then 1, or 0 with --force.`,
		Example: "  berth convert --from rke cluster.yml > config.yaml\n" +
			"  berth convert /etc/rancher/k3s/registries.yaml > config.yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("from") && !slices.Contains(formats, from) {
				return usage(fmt.Errorf("--from: %q is not a format; use %s", from, strings.Join(formats, ", ")))
			}
			data, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			format := convert.Format(from)
			if from == "" {
				if format, err = convert.Guess(data); err != nil {
					return usage(fmt.Errorf("%s: %w", args[0], err))
				}
			}
			result, err := convert.Convert(format, args[0], data, convert.Options{})
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(result.YAML); err != nil {
				return err
			}
			for _, loss := range result.Lost {
				fmt.Fprintf(cmd.ErrOrStderr(), "not carried over: %s:%s\n", args[0], loss)
			}
			if len(result.Lost) > 0 && !force {
				return errors.New("some settings could not be carried over (listed above); use --force to accept that")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", strings.Join(formats, ", ")+" (default: guessed from the content)")
	cmd.Flags().BoolVar(&force, "force", false, "exit with 0 even if settings could not be carried over")
	if err := cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // cannot happen: the flag is defined above
	}
	return cmd
}

// readInput reads a file, or stdin for "-", up to one byte more than Convert accepts.
func readInput(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, convert.MaxInput+1))
}
