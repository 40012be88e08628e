package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/images"
)

func newImagesCopy(o *options) *cobra.Command {
	var sources imageSources
	var from, to string
	var create bool
	c := images.Copier{}
	cmd := &cobra.Command{
		Use:   "copy IMAGE… --to REGISTRY[/PATH]|oci:DIR",
		Short: "Copy images to a registry or a directory, the same by digest",
		Long: `Copy images to a registry under the same repository path and tag, or into a
directory in the OCI layout: all platforms, with signatures and attestations. With
--to registry.corp/mirror, docker.io/library/nginx:1.27 becomes
registry.corp/mirror/library/nginx:1.27. A tag that has another digest there is
moved.

What is there is not sent again, so that a run that was interrupted is completed
by running it again. Content that images share is sent once. A registry that
answers 429 is waited out. An image that fails keeps no other from being copied;
it is listed at the end, and the exit code is 1.

Logins come from the config (-c) if there is one, from docker login, and for ECR
from AWS. The images come from the registries that they name, never from mirrors,
or with --from oci:DIR from a directory: all that it holds, or those that are
named.`,
		Example: "  berth images copy nginx:1.27 redislabs/redis:7.2.4-64 --to registry.corp:5000\n" +
			"  berth images list -f manifests | berth images copy --plain - --to registry.corp/mirror\n" +
			"  berth images copy --plain images.txt --to oci:usb-stick\n" +
			"  berth images copy --from oci:usb-stick --to registry.corp:5000\n" +
			"  berth images copy nginx --to 111122223333.dkr.ecr.eu-west-1.amazonaws.com --create-repositories",
		Args:              cobra.ArbitraryArgs,
		Annotations: takes("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			places, err := copyPlaces(from, to)
			if err != nil {
				return err
			}
			if c.Jobs < 1 || c.Jobs > 256 {
				return usage(errors.New("--jobs: must be a number from 1 to 256"))
			}
			wanted, problems, err := sources.named(cmd.Context(), o, cmd.InOrStdin(), args, from != "")
			if err != nil {
				return err
			}
			w, err := o.ways(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Access, c.Log = w.access, o.logger(cmd.ErrOrStderr())
			if create {
				c.Repositories = w.aws
			}
			if len(wanted) == 0 && from == "" {
				return errors.Join(problems...)
			}
			return o.copyImages(cmd, &c, wanted, places, problems)
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "registry, with or without a path, or oci:DIR")
	f.StringVar(&from, "from", "", "oci:DIR instead of the registries that the images name")
	f.IntVar(&c.Jobs, "jobs", images.DefaultJobs, "how many transfers go on at the same time")
	f.DurationVar(&c.Wait, "wait", images.DefaultWait, "how long to wait out a registry that answers 429")
	f.BoolVar(&create, "create-repositories", false, "create repositories of ECR that do not exist yet")
	sources.register(cmd)
	return cmd
}

// places are where images are copied from and to.
type places struct{ from, to images.Location }

func copyPlaces(from, to string) (places, error) {
	var p places
	var err error
	if to == "" {
		return p, usage(errors.New("--to: is missing; write a registry, as in --to registry.corp:5000, or --to oci:DIR"))
	}
	if p.to, err = images.ParseLocation(to); err != nil {
		return p, usage(fmt.Errorf("--to: %w", err))
	}
	if from == "" {
		return p, nil
	}
	if p.from, err = images.ParseLocation(from); err == nil && p.from.Layout() == "" {
		err = fmt.Errorf("%q: is no oci:DIR; without --from images come from the registries that they name", from)
	}
	if err != nil {
		return p, usage(fmt.Errorf("--from: %w", err))
	}
	return p, nil
}

// named gives the images that are meant, in the order in which they were named,
// and what could not be understood. With all they may be none.
func (s *imageSources) named(ctx context.Context, o *options, stdin io.Reader, args []string, all bool) (wanted []images.Reference, problems []error, err error) {
	for _, arg := range args {
		r, err := images.Parse(arg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		wanted = append(wanted, r)
	}
	others := len(s.manifests)+len(s.plain) > 0 || s.endpoint != ""
	switch {
	case !others && s.unused:
		return nil, nil, usage(errors.New("--unused: is about a node; add --runtime-endpoint"))
	case !others && len(args) == 0 && !all:
		return nil, nil, usage(errors.New("no images are named; write IMAGE…, -f MANIFESTS, --plain LIST, or --runtime-endpoint for those of this node"))
	case !others:
		return wanted, problems, nil
	}
	list, err := s.collect(ctx, o, stdin)
	if err != nil {
		return nil, nil, err
	}
	return append(wanted, list.References()...), append(problems, list.Problems()...), nil
}

type copyView struct {
	Images  []images.Copied `json:"images" yaml:"images"`
	Copied  int             `json:"copied" yaml:"copied"`
	Present int             `json:"present" yaml:"present"`
	Failed  int             `json:"failed" yaml:"failed"`
	Bytes   int64           `json:"bytes" yaml:"bytes"`
}

// copyImages copies, tells how far it is, and what came of it.
func (o *options) copyImages(cmd *cobra.Command, c *images.Copier, wanted []images.Reference, p places, problems []error) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	c.Progress = &images.Progress{}
	show := newProgressView(stdout, stderr, o.output == "text")
	c.Done = show.done
	stop := show.start(cmd.Context(), c.Progress)
	results, err := c.Copy(cmd.Context(), wanted, p.from, p.to)
	stop()
	if results == nil && err != nil {
		return errors.Join(append(problems, err)...)
	}
	v := copyView{Images: results}
	for _, r := range results {
		v.Bytes += r.Bytes
		switch r.Status {
		case images.StatusCopied:
			v.Copied++
		case images.StatusPresent:
			v.Present++
		default:
			v.Failed++
			if cmd.Context().Err() == nil {
				problems = append(problems, fmt.Errorf("%s: %s", r.Image, r.Error))
			}
		}
	}
	rest := "failed"
	if cmd.Context().Err() != nil {
		rest = "not copied"
		err = errors.New("interrupted; run it again to go on where it stopped")
	}
	return errors.Join(o.printCopied(stdout, v, rest, time.Since(show.begin)), errors.Join(problems...), err)
}

// printCopied tells what came of all; rest is what the others are.
func (o *options) printCopied(w io.Writer, v copyView, rest string, took time.Duration) error {
	switch o.output {
	case "json":
		return printJSON(w, v)
	case "yaml":
		return printYAML(w, v)
	}
	text := fmt.Sprintf("%s copied, %d there already", count(v.Copied, "image"), v.Present)
	if v.Failed > 0 {
		text += fmt.Sprintf(", %d %s", v.Failed, rest)
	}
	_, err := fmt.Fprintf(w, "%s; %s sent in %s\n", text, images.Size(v.Bytes), took.Round(100*time.Millisecond))
	return err
}

// copiedLine tells what came of one image.
func copiedLine(r images.Copied) string {
	switch r.Status {
	case images.StatusFailed:
		return fmt.Sprintf("failed   %s", r.Image) // why comes at the end
	case images.StatusPresent:
		return fmt.Sprintf("present  %s", r.Target)
	}
	var parts []string
	if r.Uploaded > 0 {
		parts = append(parts, fmt.Sprintf("%s sent, %s", count(r.Uploaded, "blob"), images.Size(r.Bytes)))
	}
	if r.Mounted > 0 {
		parts = append(parts, fmt.Sprintf("%d taken over", r.Mounted))
	}
	if r.Attached > 0 {
		parts = append(parts, fmt.Sprintf("%d attached", r.Attached))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("copied   %s", r.Target)
	}
	return fmt.Sprintf("copied   %s (%s)", r.Target, strings.Join(parts, "; "))
}
