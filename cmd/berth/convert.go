package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config/convert"
)

func newConvert(*cli.Options) *cobra.Command {
	var from string
	var force bool
	var formats []string
	for _, f := range convert.Formats() {
		formats = append(formats, string(f))
	}
	cmd := &cobra.Command{
		Use:   "convert [--from FORMAT] FILE|DIRECTORY",
		Short: "Print a RegistryConfig made from the settings of RKE, k3s, containerd, Rancher or Docker",
		Long: `Print a RegistryConfig that does what another tool's settings do:

  rke         cluster.yml or cluster.rkestate: private_registries and kubelet's AWS keys
  k3s         registries.yaml of k3s and RKE2
  containerd  config.toml with registry.mirrors, configs or auths
  rancher     a Cluster of provisioning.cattle.io/v1: spec.rkeConfig.registries
  docker      daemon.json, or the directory /etc/docker with daemon.json and certs.d
  certs.d     a directory of hosts.toml files, or one hosts.toml

Without --from the format is guessed from the content. FILE may be - for standard
input, but for certs.d. The result holds the secrets of the input: keep it in a file of mode 0600.
Its comments say what works differently. Settings that cannot be carried over are
also listed on standard error, and the exit code is then 1, or 0 with --force.`,
		Example: "  berth convert --from rke cluster.yml > config.yaml\n" +
			"  berth convert /etc/rancher/k3s/registries.yaml > config.yaml\n" +
			"  berth convert --from docker /etc/docker > config.yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("from") && !slices.Contains(formats, from) {
				return cli.Usage(fmt.Errorf("--from: %q is not a format; use %s", from, strings.Join(formats, ", ")))
			}
			result, err := convertInput(cmd.InOrStdin(), convert.Format(from), args[0])
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(result.YAML); err != nil {
				return err
			}
			for _, loss := range result.Lost {
				if loss.File == "" {
					loss.File = args[0]
				} else {
					loss.File = filepath.Join(args[0], loss.File)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "not carried over: %s\n", loss)
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

// convertInput converts a file, a directory, or stdin for "-". An empty format is guessed.
func convertInput(stdin io.Reader, format convert.Format, name string) (convert.Result, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		tree := os.DirFS(name)
		if format == "" {
			if format, err = convert.GuessDirectory(tree); err != nil {
				return convert.Result{}, cli.Usage(fmt.Errorf("%s: %w", name, err))
			}
		}
		return convert.Directory(format, name, tree, convert.Options{})
	}
	data, err := readInput(stdin, name)
	if err != nil {
		return convert.Result{}, err
	}
	if format == "" {
		if format, err = convert.Guess(data); err != nil {
			return convert.Result{}, cli.Usage(fmt.Errorf("%s: %w", name, err))
		}
	}
	return convert.Convert(format, name, data, convert.Options{})
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
