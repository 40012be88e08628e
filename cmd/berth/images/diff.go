package images

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/report"
)

func newDiff(o *cli.Options) *cobra.Command {
	c := copy.Copier{}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show the images, and their bytes, that B has and A has not",
		Long: `Show what berth images copy --except A would copy of B. A and B are files or
directories that berth images copy has written (FILE.tar.zst, oci:DIR), or lists
with an image on each line, as berth images list prints them, or - for standard
input. Images of a list are looked at in their registries: manifests only.

  new       A has no such image
  changed   A has it with another digest
  attached  A lacks signatures or other content that refers to it

The number of bytes is what A does not have at all; content that images share is
counted once.`,
		Example: "  berth images diff images.tar.zst images.txt\n" +
			"  berth images diff oci:usb-stick images.tar.zst",
		Args:        cobra.ExactArgs(2),
		Annotations: cli.Formats("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := onceStdin(args); err != nil {
				return err
			}
			w, err := newWays(o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Access, c.Log = w.access, o.Logger(cmd.ErrOrStderr())
			a, err := readContents(cmd, &c, args[0])
			if err != nil {
				return err
			}
			b, err := readContents(cmd, &c, args[1])
			if err != nil {
				return err
			}
			return printDiff(o, cmd.OutOrStdout(), b.Beyond(a))
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Jobs, "jobs", registry.DefaultJobs, "number of concurrent requests")
	f.DurationVar(&c.Wait, "wait", registry.DefaultWait, "how long to wait out a registry that answers 429")
	return cmd
}

// readContents reads what the images of a file, a directory or a list consist of.
func readContents(cmd *cobra.Command, c *copy.Copier, name string) (*copy.Contents, error) {
	reader := copy.Copier{Access: c.Access, Jobs: c.Jobs, Wait: c.Wait, Log: c.Log}
	var at reference.Location
	var images []reference.Reference
	short := filepath.Base(name)
	info, err := os.Stat(name)
	if name == document.Stdin || err == nil && !info.IsDir() && !reference.IsBundle(name) {
		reader.Platforms = c.Platforms // a file or a directory says which it has
		l := &list.List{}
		l.AddPlain(name, cmd.InOrStdin())
		if images = l.References(); len(images) == 0 && len(l.Problems()) == 0 {
			return nil, fmt.Errorf("%s: no images in it; name the file that lists them", name)
		}
		if err := errors.Join(l.Problems()...); err != nil {
			return nil, err
		}
	} else if at, err = reference.ParseSource(name); err != nil {
		return nil, cli.Usage(fmt.Errorf("%w, or name a list of images", err))
	}
	if at.Layout() != "" {
		short = "oci:" + filepath.Base(at.Layout())
	}
	all, err := reader.Contents(cmd.Context(), short, images, at)
	if manifest.IsNeeded(err) {
		return nil, fmt.Errorf("%s: was written with --except; name a file or a directory that has all of its images", name)
	}
	return all, err
}

type diffView struct {
	Images []copy.Difference `json:"images" yaml:"images"`
	Bytes  int64             `json:"bytes" yaml:"bytes"`
}

func printDiff(o *cli.Options, w io.Writer, images []copy.Difference) error {
	v := diffView{Images: images}
	var text strings.Builder
	for _, d := range images {
		v.Bytes += d.Bytes
		fmt.Fprintf(&text, "%-9s %s (%s)\n", d.Change, d.Image, copy.Size(d.Bytes))
	}
	return o.Print(w, v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s%s, %s\n", text.String(), report.Count(len(images), "image"), copy.Size(v.Bytes))
		return err
	})
}

// bundleFlags reads the flags that are for --to FILE, and returns the size of a part.
func bundleFlags(split, except string, to reference.Location) (int64, error) {
	if to.Bundle() == "" && split+except != "" {
		flag := "--split"
		if split == "" {
			flag = "--except"
		}
		return 0, cli.Usage(fmt.Errorf("%s: is for a file; write --to FILE.tar.zst", flag))
	}
	if split == "" {
		return 0, nil
	}
	const least = 1 << 20
	size, err := copy.ParseSize(split)
	if err == nil && size < least {
		err = errors.New("is less than 1MiB")
	}
	if err != nil {
		return 0, cli.Usage(fmt.Errorf("--split: %q: %w", split, err))
	}
	return size, nil
}
