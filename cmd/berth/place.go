package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/daemonlog"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/place"
	"github.com/berth-registry/berth/node/providerconfig"
)

func newPlace(o *cli.Options) *cobra.Command {
	var opts place.Options
	var text string
	var remove, tokens bool
	cmd := &cobra.Command{
		Use:   "place",
		Short: "Put the credential provider and its configuration on a node, for an init container",
		Long: `Copy ` + providerconfig.Provider + `, ` + providerconfig.Fetcher + `, which it starts
to ask AWS, and the CredentialProviderConfig that names it to a node. The chart
runs this in an init container. kubelet's flags are not changed and nothing is
restarted: "berth install --kubelet" does that.

A program or a configuration that Berth did not write, or that was edited since,
is left alone; the log names it. If one program is left alone, the other one is
not replaced either. --remove removes the three files, and leaves the programs
where a configuration still names the provider.

Exit codes: 0 done, or a file was left alone; 1 failed.`,
		Example: "  berth place --root /host\n  berth place --root /host --remove",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if opts.Program == "" {
				self, err := os.Executable()
				if err != nil {
					return fmt.Errorf("%w; name the program with --provider", err)
				}
				opts.Program = filepath.Join(filepath.Dir(self), providerconfig.Provider)
			} else if _, err := os.Stat(opts.Program); err != nil && !remove {
				return fmt.Errorf("--provider: %w", err)
			}
			opts.Text = providerconfig.ConfigRequiringRules()
			if tokens {
				wanted := providerconfig.Wanted{RequireRules: true, RoleAnnotations: []string{ecr.RoleAnnotation}}
				if opts.Text, err = providerconfig.Ours(wanted, nil); err != nil {
					return err
				}
			}
			if text != "" {
				if opts.Text, err = os.ReadFile(text); err != nil {
					return fmt.Errorf("--provider-config-from: %w", err)
				}
			}
			if opts.Root, err = nodefs.OpenRoot(o.Root); err != nil {
				return err
			}
			defer opts.Root.Close()
			opts.Log = daemonlog.New(cmd.ErrOrStderr())
			if remove {
				return place.Remove(opts)
			}
			return place.Put(opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Program, "provider", "", "the program to copy, with "+providerconfig.Fetcher+" in the same directory (default: "+providerconfig.Provider+" beside berth)")
	flags.StringVar(&opts.Dir, "bin-dir", providerconfig.ProgramDir, "directory on the node where kubelet looks for the programs")
	flags.StringVar(&opts.Config, "provider-config", providerconfig.File, "the CredentialProviderConfig on the node")
	flags.BoolVar(&tokens, "service-account-tokens", false, "kubelet passes a token of the pod's service account to the provider (kubelet 1.34 or later)")
	flags.StringVar(&text, "provider-config-from", "", "copy this file there (default: the configuration that comes with Berth)")
	flags.BoolVar(&remove, "remove", false, "remove the three files")
	return cmd
}
