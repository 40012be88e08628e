package images

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/report"
	"github.com/berth-registry/berth/node/desired"
)

func newCheck(o *cli.Options) *cobra.Command {
	var sources imageSources
	var to, from string
	var platforms []string
	var limit, verify bool
	var jobs int
	cmd := &cobra.Command{
		Use:   "check IMAGE… [--to REGISTRY[/PATH]|oci:DIR|FILE.tar[.zst]]",
		Short: "Check that a registry, a directory or a file has all images, as their source has them",
		Long: `Check images in a registry, under the path where berth images copy puts them: the
tag exists with the digest of the source, if that can be reached, and with all
platforms. Without --to it checks every mirror of the image in the config. It only
reads, and sends the source no request that counts as a pull. --from names a
directory or a file of images to compare with: the sources are not asked then, as
behind an air gap, and all its images are checked if none is named.

  ok          same as at the source
  unverified  exists, but the source could not be asked
  missing     does not exist
  different   another digest than at the source
  incomplete  without all platforms, or with a file missing or damaged
  unreachable the registry could not be asked
  needs base  what this file has of it is right; it was written with --except

Exit code 1 if any image is not ok, unverified or needs base. Images with the same fault
are listed together.

With --to oci:DIR or --to FILE.tar.zst it checks what berth images copy has written,
all images if none is named: every blob by its size, and with --verify by its digest.
On a registry --verify pulls every blob of the images once.

--rate-limit shows how many pulls Docker Hub allows now, for the login of docker.io
or else for the address of this machine. The request does not count as a pull.`,
		Example: "  berth images check nginx:1.27 redislabs/redis:7.2.4-64 --to registry.corp:5000\n" +
			"  berth images list -f manifests | berth images check --plain - --to registry.corp/mirror\n" +
			"  berth images check --plain images.txt --platform linux/amd64,linux/arm64 -o json\n" +
			"  berth images check --to oci:usb-stick --verify\n" +
			"  berth images check --to images.tar.zst --verify\n" +
			"  berth images check --from images.tar.zst --to registry.corp:5000\n" +
			"  berth images check --rate-limit",
		Args:        cobra.ArbitraryArgs,
		Annotations: cli.Formats("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wantedPlatforms, err := parsePlatforms(platforms)
			if err != nil {
				return err
			}
			c := check.Checker{Jobs: jobs, Platforms: wantedPlatforms, Verify: verify}
			if jobs < 1 || jobs > 256 {
				return cli.Usage(errors.New("--jobs: must be a number from 1 to 256"))
			}
			var at reference.Location
			if to != "" {
				if at, err = reference.ParseLocation(to); err != nil {
					return cli.Usage(fmt.Errorf("--to: %w", err))
				}
			}
			if from != "" {
				if c.From, err = reference.ParseSource(from); err != nil {
					return cli.Usage(fmt.Errorf("--from: %w; without --from images are compared with the registries that they name", err))
				}
			}
			inDir := !at.IsRegistry()
			wanted, problems, err := sources.named(cmd.Context(), o, cmd.InOrStdin(), args, limit || inDir || from != "")
			if err != nil {
				return err
			}
			w, err := newWays(o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Access, c.Log = w.access, o.Logger(cmd.ErrOrStderr())
			var v report.Check
			if limit {
				v.Limit = report.NewLimit(w.access.HubLimit(cmd.Context()))
			}
			var more []error
			unnamed := !sources.given() && len(args) == 0
			switch {
			case inDir && (len(wanted) > 0 || unnamed):
				v.Images, more, err = c.CheckLayout(cmd.Context(), wanted, at)
			case len(wanted) > 0 || from != "" && unnamed:
				var spots func(reference.Reference) []check.Spot
				if spots, err = spotsFor(to, at.Target(), w.cfg); err == nil {
					v.Images, more, err = c.Check(cmd.Context(), wanted, spots)
				}
			}
			if cmd.Context().Err() != nil {
				return errors.New("interrupted")
			}
			if err != nil {
				return err
			}
			problems = append(problems, more...)
			err = errors.Join(append(problems, o.Print(cmd.OutOrStdout(), v, v.WriteText))...)
			if err == nil && !v.OK() {
				err = &cli.ExitError{Code: cli.ExitFailed} // the reasons have been printed
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "registry, with or without a path, oci:DIR, FILE.tar or FILE.tar.zst (default the mirrors in the config)")
	f.StringVar(&from, "from", "", "directory (oci:DIR or DIR) or file to compare with, instead of the registries in the names of the images")
	f.StringSliceVar(&platforms, "platform", nil, "required platforms, as in linux/amd64,linux/arm64 (default all that an image has)")
	f.BoolVar(&verify, "verify", false, "compute the digest of every blob; a registry is asked for all of them")
	f.BoolVar(&limit, "rate-limit", false, "show how many pulls Docker Hub allows now")
	f.IntVar(&jobs, "jobs", registry.DefaultJobs, "number of images that are checked at the same time")
	sources.register(cmd)
	return cmd
}

// spotsFor says where an image should be.
func spotsFor(to string, target reference.Target, cfg *config.Config) (func(reference.Reference) []check.Spot, error) {
	switch {
	case to != "":
		return func(r reference.Reference) []check.Spot { return []check.Spot{check.SpotOn(target, r)} }, nil
	case cfg == nil:
		return nil, cli.Usage(errors.New("--to: is missing; write a registry, or name a config with --config, whose mirrors are then looked at"))
	}
	directories, _ := desired.Directories(cfg, desired.Inputs{})
	return func(r reference.Reference) []check.Spot { return check.SpotsOf(directories, r) }, nil
}
