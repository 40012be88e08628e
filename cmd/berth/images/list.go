package images

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/images/report"
)

func newList(o *cli.Options) *cobra.Command {
	var sources imageSources
	var counts bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the images that a node, manifests or a list name",
		Long: `List images in full (docker.io/library/busybox:latest), each once, grouped by the
registry that they name. They come from

  the node       containers that run or have ended, init containers and the pause
                 image; when nothing else is named
  -f FILE        manifests in YAML or JSON, as helm template or kubectl get print
                 them: pods and everything with a pod template; fields of custom
                 resources and values of charts that are called image or end in
                 it; repository, registry, name and tag; variables, arguments and
                 ConfigMaps, also with several images in one value and with YAML
                 or JSON in it; system_images of RKE's cluster.yml, images of a
                 kustomization
  --plain FILE   one a line, as kubeadm config images list, rke config
                 --system-images and this command print them; also as uniq -c
                 counts them, and several on a line
  --from DIR     the images of a directory or a file that berth images copy has
                 written, with --to oci:DIR or --to FILE.tar.zst

Lists for zarf, hauler, skopeo sync and regsync are read with -f and with --plain.
Patterns for tags and whole repositories in them are not looked up but named.

A value that looks like an image with a registry, a path and a tag, in a field that
is not known to hold one, is not listed but reported with its file and line, and the
exit code is 1; --allow-unknown accepts it. So is a name whose registry or tag is in
another place.

On a node with mirrors it shows where containerd would pull the images of each
registry from. The text is a plain list with comments, which berth images copy can
read. With -o json or yaml each image has the places where it was found, and with
--count their number. -n lists only the images of one namespace, of objects as
kubectl get prints them or of a node.

Exit code 1 if something could not be read; the rest is listed anyway.`,
		Example: "  berth images list\n" +
			"  helm template redis ./chart | berth images list -f -\n" +
			"  kubectl get pods -A -o json | berth images list -f - -o json\n" +
			"  berth images list -f manifests --plain system-images.txt > images.txt\n" +
			"  berth images list --from oci:usb-stick\n" +
			"  berth images list --from images.tar.zst",
		Args:        noArguments("manifests are named with -f, and lists with --plain"),
		Annotations: cli.Formats("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := sources.collect(cmd.Context(), o, cmd.InOrStdin())
			if err != nil {
				return err
			}
			certsDir, err := findCertsDir(o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			view := report.NewList(list, certsDir)
			err = o.Print(cmd.OutOrStdout(), view, func(w io.Writer) error { return view.WriteText(w, counts) })
			return errors.Join(err, errors.Join(list.Problems()...))
		},
	}
	cmd.Flags().StringArrayVar(&sources.from, "from", nil, "a directory (oci:DIR or DIR) or a file that images were copied to; repeatable")
	sources.register(cmd)
	cmd.Flags().StringVarP(&sources.namespace, "namespace", "n", "", "only images of objects in this namespace")
	cmd.Flags().BoolVar(&counts, "count", false, "print before each image how often it was found, as uniq -c does")
	return cmd
}

// findCertsDir returns where containerd's host files lie on this node; "" if there is no
// such directory. The config is asked where, if there is one.
func findCertsDir(o *cli.Options, stderr io.Writer) (string, error) {
	dir := config.Default().Containerd.CertsDir
	n, cfg, err := o.OpenMaybe(stderr)
	switch {
	case err != nil && o.Config != "":
		return "", err
	case err != nil:
		fmt.Fprintf(stderr, "note: the config cannot be read, so %s is looked at: %s\n", dir, strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		defer n.Close()
		if cfg != nil {
			dir = cfg.Containerd.CertsDir
		}
	}
	found, err := below(o.Root, []string{dir})
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(found[0]); err != nil || !info.IsDir() {
		return "", nil
	}
	return found[0], nil
}
