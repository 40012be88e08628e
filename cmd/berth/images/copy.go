package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/report"
)

func newCopy(o *cli.Options) *cobra.Command {
	var sources imageSources
	var from, to string
	var platforms []string
	var split, except string
	var create bool
	c := copy.Copier{}
	cmd := &cobra.Command{
		Use:   "copy IMAGE… --to REGISTRY[/PATH]|oci:DIR|FILE.tar[.zst]",
		Short: "Copy images to a registry, a directory or one file, with the same digests",
		Long: `Copy images to a registry under the same repository path and tag, or into a
directory in the OCI layout, or into one file with such a directory, FILE.tar or
FILE.tar.zst: all platforms, with signatures and attestations. With
--to registry.corp/mirror, docker.io/library/nginx:1.27 becomes
registry.corp/mirror/library/nginx:1.27. A tag that has another digest there is
moved.

Content that the target has is not sent again: to complete an interrupted run, run
it again. Content that images share is sent once. A registry that answers 429 is
waited out. An image that fails does not stop the others; it is listed at the end,
and the exit code is 1.

--platform linux/amd64 copies only this platform of each image, and lists the
others. The index does not change, so digests and signatures stay valid: nodes of
that platform can pull it, but most registries refuse an incomplete index.
--reduce-index makes an index of the copied platforms only. It has another digest,
and signatures of the original index are not copied.

Logins come from the config (-c) if there is one, from docker login, and for ECR
from AWS. A refused login is not sent again. The images come from the registries in
their names, never from mirrors, or with --from from a directory or a file: all its
images, or those that are named. Files that are missing in a directory, or have
another size, are written again; --verify also compares the digest of each.

A file gets its name when all images are in it, and is not changed afterwards. Until
then it is FILE.partial, from which an interrupted run goes on. The same images give
the same bytes. --split 4000MiB writes FILE.000, FILE.001 and so on, each of this
size; --from FILE reads them. --except BASE leaves out what BASE has, which is a
file, a directory or a list of images: such a file can be copied to a registry to
which BASE was copied.`,
		Example: "  berth images copy nginx:1.27 redislabs/redis:7.2.4-64 --to registry.corp:5000\n" +
			"  berth images list -f manifests | berth images copy --plain - --to registry.corp/mirror\n" +
			"  berth images copy --plain images.txt --to oci:usb-stick\n" +
			"  berth images copy --from oci:usb-stick --to registry.corp:5000\n" +
			"  berth images copy --plain images.txt --to images.tar.zst --split 4000MiB\n" +
			"  berth images copy --from images.tar.zst --to registry.corp:5000\n" +
			"  berth images copy nginx:1.27 nginx:latest --to tuesday.tar.zst --except images.tar.zst\n" +
			"  berth images copy nginx:1.27 --to oci:usb-stick --platform linux/amd64 --platform linux/arm64\n" +
			"  berth images copy nginx:1.27 --to registry.corp/amd64 --platform linux/amd64 --reduce-index\n" +
			"  berth images copy nginx --to 111122223333.dkr.ecr.eu-west-1.amazonaws.com --create-repositories",
		Args:        cobra.ArbitraryArgs,
		Annotations: cli.Formats("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			places, err := copyPlaces(from, to)
			if err != nil {
				return err
			}
			if c.Platforms, err = parsePlatforms(platforms); err != nil {
				return err
			}
			if c.ReduceIndex && c.Platforms == nil && from == "" {
				return cli.Usage(errors.New("--reduce-index: needs --platform, the platforms that the index lists"))
			}
			if c.Verify && places.to.Layout() == "" {
				return cli.Usage(errors.New("--verify: is for --to oci:DIR; a registry verifies by itself"))
			}
			if c.Jobs < 1 || c.Jobs > 256 {
				return cli.Usage(errors.New("--jobs: must be a number from 1 to 256"))
			}
			if c.Split, err = bundleFlags(split, except, places.to); err != nil {
				return err
			}
			wanted, problems, err := sources.named(cmd.Context(), o, cmd.InOrStdin(), args, from != "")
			if err != nil {
				return err
			}
			w, err := newWays(o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Access, c.Log = w.access, o.Logger(cmd.ErrOrStderr())
			if create {
				c.Repositories = w.aws
			}
			// A list without an image is not all that a directory holds.
			if len(wanted) == 0 && (from == "" || sources.given() || len(args) > 0) {
				return errors.Join(problems...)
			}
			if except != "" {
				if c.Except, err = readContents(cmd, &c, except); err != nil {
					return fmt.Errorf("--except: %w", err)
				}
			}
			return copyImages(o, cmd, &c, wanted, places, problems)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "registry, with or without a path, oci:DIR, FILE.tar or FILE.tar.zst")
	f.StringVar(&from, "from", "", "directory (oci:DIR or DIR) or file instead of the registries in the names of the images")
	f.StringVar(&split, "split", "", "with --to FILE: write FILE.000, FILE.001 and so on, each of this size, as in 4000MiB")
	f.StringVar(&except, "except", "", "with --to FILE: leave out what this file, directory (oci:DIR) or list of images has")
	f.StringArrayVar(&platforms, "platform", nil, "platform to copy, as in linux/amd64; repeatable (default all that an image has)")
	f.BoolVar(&c.ReduceIndex, "reduce-index", false, "make an index of the copied platforms only, which has another digest")
	f.BoolVar(&c.Verify, "verify", false, "with --to oci:DIR: compute the digest of every file that is there")
	f.IntVar(&c.Jobs, "jobs", registry.DefaultJobs, "number of concurrent transfers")
	f.DurationVar(&c.Wait, "wait", registry.DefaultWait, "how long to wait out a registry that answers 429")
	f.BoolVar(&create, "create-repositories", false, "create missing repositories of ECR")
	sources.register(cmd)
	return cmd
}

// places are where images are copied from and to.
type places struct{ from, to reference.Location }

func copyPlaces(from, to string) (places, error) {
	var p places
	var err error
	if to == "" {
		return p, cli.Usage(errors.New("--to: is missing; write a registry, as in --to registry.corp:5000, or --to oci:DIR, or --to FILE.tar.zst"))
	}
	if p.to, err = reference.ParseLocation(to); err != nil {
		return p, cli.Usage(fmt.Errorf("--to: %w", err))
	}
	if from == "" {
		return p, nil
	}
	if p.from, err = reference.ParseSource(from); err != nil {
		return p, cli.Usage(fmt.Errorf("--from: %w; without --from images come from the registries that they name", err))
	}
	return p, nil
}

func parsePlatforms(names []string) ([]manifest.Platform, error) {
	var all []manifest.Platform
	for _, name := range names {
		for p := range strings.SplitSeq(name, ",") {
			platform, err := manifest.ParsePlatform(p)
			if err != nil {
				return nil, cli.Usage(fmt.Errorf("--platform: %w", err))
			}
			all = append(all, platform)
		}
	}
	return all, nil
}

// named gives the images that are meant, in the order in which they were named,
// and what could not be understood. With all they may be none.
func (s *imageSources) named(ctx context.Context, o *cli.Options, stdin io.Reader, args []string, all bool) (wanted []reference.Reference, problems []error, err error) {
	for _, arg := range args {
		r, err := reference.Parse(arg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		wanted = append(wanted, r)
	}
	others := s.given()
	switch {
	case !others && s.unused:
		return nil, nil, cli.Usage(errors.New("--unused: is for a node; add --runtime-endpoint"))
	case !others && len(args) == 0 && !all:
		return nil, nil, cli.Usage(errors.New("no images are named; write IMAGE…, -f MANIFESTS, --plain LIST, or --runtime-endpoint for those of this node"))
	case !others:
		return wanted, problems, nil
	}
	list, err := s.collect(ctx, o, stdin)
	if err != nil {
		return nil, nil, err
	}
	wanted, problems = append(wanted, list.References()...), append(problems, list.Problems()...)
	if files := slices.Concat(s.manifests, s.plain); len(files) > 0 && len(wanted)+len(problems) == 0 && !s.unknown {
		problems = append(problems, fmt.Errorf("%s: no images in it; name the files that list them", strings.Join(files, ", ")))
	}
	return wanted, problems, nil
}

// copyImages copies, tells how far it is, and what came of it.
func copyImages(o *cli.Options, cmd *cobra.Command, c *copy.Copier, wanted []reference.Reference, p places, problems []error) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	c.Progress = &copy.Progress{}
	show, begin := report.NewProgress(stdout, stderr, o.Output == "text"), time.Now()
	c.Done = show.Done
	stop := show.Start(cmd.Context(), c.Progress)
	results, err := c.Copy(cmd.Context(), wanted, p.from, p.to)
	stop()
	if results == nil && err != nil {
		return errors.Join(append(problems, err)...)
	}
	v := report.NewCopy(results)
	if cmd.Context().Err() == nil {
		problems = append(problems, v.Failures()...)
	}
	rest := "failed"
	if cmd.Context().Err() != nil {
		rest = "not copied"
		err = errors.New("interrupted; run it again to continue")
	}
	printed := o.Print(stdout, v, func(w io.Writer) error { return v.WriteText(w, rest, time.Since(begin)) })
	return errors.Join(printed, errors.Join(problems...), err)
}
