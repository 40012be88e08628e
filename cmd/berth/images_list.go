package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/place"
)

func newImagesList(o *options) *cobra.Command {
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
		Annotations: takes("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := sources.collect(cmd.Context(), o, cmd.InOrStdin())
			if err != nil {
				return err
			}
			view, err := o.listView(list, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch o.output {
			case "json":
				err = printJSON(w, view)
			case "yaml":
				err = printYAML(w, view)
			default:
				err = view.print(w, counts)
			}
			return errors.Join(err, errors.Join(list.Problems()...))
		},
	}
	cmd.Flags().StringArrayVar(&sources.from, "from", nil, "a directory (oci:DIR or DIR) or a file that images were copied to; repeatable")
	sources.register(cmd)
	cmd.Flags().StringVarP(&sources.namespace, "namespace", "n", "", "only images of objects in this namespace")
	cmd.Flags().BoolVar(&counts, "count", false, "print before each image how often it was found, as uniq -c does")
	return cmd
}

type listView struct {
	Images     []imageView    `json:"images" yaml:"images"`
	Registries []registryView `json:"registries" yaml:"registries"`
	Problems   []string       `json:"problems,omitempty" yaml:"problems,omitempty"`
	Unknown    []string       `json:"unknown,omitempty" yaml:"unknown,omitempty"` // what looks like an image
}

type imageView struct {
	Reference  string        `json:"reference" yaml:"reference"`
	Registry   string        `json:"registry" yaml:"registry"`
	Repository string        `json:"repository" yaml:"repository"`
	Tag        string        `json:"tag,omitempty" yaml:"tag,omitempty"`
	Digest     string        `json:"digest,omitempty" yaml:"digest,omitempty"`
	Count      int           `json:"count" yaml:"count"` // how often it was found
	Found      []place.Place `json:"found" yaml:"found"`
}

type registryView struct {
	Registry string `json:"registry" yaml:"registry"`
	Images   int    `json:"images" yaml:"images"`
	// From and the rest tell what this node does; empty without a certs.d.
	From      []string `json:"from,omitempty" yaml:"from,omitempty"` // urls in the order in which they are asked
	Directory string   `json:"directory,omitempty" yaml:"directory,omitempty"`
	Note      string   `json:"note,omitempty" yaml:"note,omitempty"`
}

func (o *options) listView(list *list.List, stderr io.Writer) (listView, error) {
	view := listView{Images: []imageView{}, Registries: []registryView{}}
	certsDir, err := o.certsDir(stderr)
	if err != nil {
		return view, err
	}
	for _, r := range list.Registries() {
		rv := registryView{Registry: r.Registry, Images: len(r.Images)}
		if certsDir != "" {
			rv.lookUp(certsDir)
		}
		view.Registries = append(view.Registries, rv)
		for _, image := range r.Images {
			ref := image.Reference
			view.Images = append(view.Images, imageView{ref.String(), ref.Registry(), ref.Repository(), ref.Tag(), ref.Digest(), image.Count(), image.Found})
		}
	}
	for _, err := range list.Problems() {
		view.Problems = append(view.Problems, err.Error())
	}
	for _, err := range list.Unknown() {
		view.Unknown = append(view.Unknown, err.Error())
	}
	return view, nil
}

// lookUp tells where this node takes the images of a registry from.
func (v *registryView) lookUp(certsDir string) {
	r, err := hostsconf.Lookup(certsDir, v.Registry)
	v.Directory = r.Dir
	switch {
	case err != nil:
		v.Note = "containerd would fail: " + err.Error()
		return
	case r.Ignored != nil:
		v.Note = "containerd skips the hosts.toml: " + r.Ignored.Error()
	}
	for _, h := range r.Hosts {
		v.From = append(v.From, h.URL())
	}
}

// certsDir is where containerd's host files lie on this node; "" if there is no
// such directory. The config is asked where, if there is one.
func (o *options) certsDir(stderr io.Writer) (string, error) {
	dir := config.Default().Containerd.CertsDir
	m, cfg, err := o.openMaybe(stderr)
	switch {
	case err != nil && o.config != "":
		return "", err
	case err != nil:
		fmt.Fprintf(stderr, "note: the config cannot be read, so %s is looked at: %s\n", dir, strings.ReplaceAll(err.Error(), "\n", "; "))
	default:
		defer m.Close()
		if cfg != nil {
			dir = cfg.Containerd.CertsDir
		}
	}
	found, err := below(o.root, []string{dir})
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(found[0]); err != nil || !info.IsDir() {
		return "", nil
	}
	return found[0], nil
}

// print writes a list that images.List.AddPlain reads.
func (v listView) print(w io.Writer, counts bool) error {
	var text strings.Builder
	at := 0
	for _, r := range v.Registries {
		fmt.Fprintf(&text, "# %s: %s%s\n", r.Registry, count(r.Images, "image"), r.from())
		for _, image := range v.Images[at : at+r.Images] {
			if counts {
				fmt.Fprintf(&text, "%7d ", image.Count)
			}
			fmt.Fprintln(&text, image.Reference)
		}
		at += r.Images
		fmt.Fprintln(&text)
	}
	fmt.Fprintf(&text, "# %s of %s\n", count(len(v.Images), "image"), count(len(v.Registries), "registry"))
	_, err := io.WriteString(w, text.String())
	return err
}

func (v registryView) from() string {
	text := ""
	if len(v.From) > 0 {
		text = ", taken from " + strings.Join(v.From, ", then ")
	}
	if v.Note != "" {
		text += "; " + strings.ReplaceAll(v.Note, "\n", " ")
	}
	return text
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		what = strings.TrimSuffix(what, "y") + "ie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func printYAML(w io.Writer, v any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	return errors.Join(e.Encode(v), e.Close())
}
