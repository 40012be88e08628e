package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/load"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/report"
)

// loadOptions are the flags of berth images load.
type loadOptions struct {
	runtime, endpoint, snapshotter string
	pin                            bool
}

func newImagesLoad(o *options) *cobra.Command {
	var opts loadOptions
	cmd := &cobra.Command{
		Use:   "load DIR|FILE.tar.zst [IMAGE…]",
		Short: "Load images from a directory or a file into this node's containerd or Docker",
		Long: `Load the images of a directory (oci:DIR or DIR) or a file (FILE.tar, FILE.tar.zst) that
berth images copy has written into containerd, where kubelet finds them: all, or those
that are named. Of an image for several platforms, this node's is loaded. Each image
gets the names that kubelet may ask for, by tag and by digest, after all of it is there
and unpacked. What is there already is not sent again.

With --pin kubelet's garbage collection leaves the images alone; containerd 1.6 does
not know that.

--runtime docker loads them into Docker Engine, by tag. Docker's own image store, the
one that is not containerd's, cannot be asked for them by digest.

A pod still asks a registry if its imagePullPolicy is Always, or if kubelet is told
to verify credentials of every image (imagePullCredentialsVerificationPolicy:
AlwaysVerify).

Exit code 1 if an image could not be loaded; the rest is loaded anyway.`,
		Example: "  berth images load oci:usb-stick\n" +
			"  berth images load --pin usb-stick registry.k8s.io/pause:3.10.2",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("needs images: oci:DIR, DIR, FILE.tar or FILE.tar.zst")
			}
			return nil
		},
		Annotations: takes("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.runtime, "runtime", "containerd", "where to: containerd or docker")
	f.StringVar(&opts.endpoint, "runtime-endpoint", "", "socket of the runtime (default the first that exists: of containerd, k3s, RKE2, k0s, MicroK8s; or of docker)")
	f.StringVar(&opts.snapshotter, "snapshotter", "overlayfs", "snapshotter of containerd's CRI")
	f.BoolVar(&opts.pin, "pin", false, "keep kubelet's garbage collection from the images")
	return cmd
}

// loadedView is a line of the result.
type loadedView struct {
	Reference string `json:"reference" yaml:"reference"`
	Status    string `json:"status" yaml:"status"`
	Digest    string `json:"digest,omitempty" yaml:"digest,omitempty"`
	Error     string `json:"error,omitempty" yaml:"error,omitempty"`
}

func (opts *loadOptions) run(cmd *cobra.Command, o *options, args []string) error {
	at, err := reference.ParseSource(args[0])
	if err != nil {
		return usage(err)
	}
	images, err := bundle.OpenLocation(at)
	if err != nil {
		return err
	}
	defer images.Close()
	wanted, problems, err := loadedImages(images, args[1:])
	if err != nil {
		return usage(err)
	}
	store, err := opts.store(o)
	if err != nil {
		return err
	}
	defer store.Close()
	loader := load.Loader{Store: store, Log: slog.New(slog.DiscardHandler)}
	results := loader.Load(cmd.Context(), images, wanted)
	return errors.Join(printLoaded(cmd, o, results), errors.Join(problems...), loadErrors(cmd.Context(), results))
}

// loadedImages returns the images to load: those of args, or all of the directory.
func loadedImages(images *layout.Layout, args []string) (wanted []reference.Reference, problems []error, err error) {
	if len(args) == 0 {
		wanted, problems = images.References()
		return wanted, problems, nil
	}
	for _, arg := range args {
		r, err := reference.Parse(arg)
		if err != nil {
			return nil, nil, err
		}
		wanted = append(wanted, r)
	}
	return wanted, nil, nil
}

// closingStore is a store with a connection.
type closingStore interface {
	load.Store
	io.Closer
}

// store connects to the image store of the runtime.
func (opts *loadOptions) store(o *options) (closingStore, error) {
	switch opts.runtime {
	case "containerd":
		socket, err := opts.socket(o, load.Sockets())
		if err != nil {
			return nil, err
		}
		c, err := load.DialContainerd(socket)
		if err != nil {
			return nil, err
		}
		c.Snapshotter, c.Pin = opts.snapshotter, opts.pin
		return c, nil
	case "docker":
		if opts.pin {
			return nil, usage(errors.New("--pin: is for kubelet's images in containerd; remove it"))
		}
		socket, err := opts.socket(o, []string{load.DockerSocket})
		if err != nil {
			return nil, err
		}
		return load.DialDocker(socket), nil
	}
	return nil, usage(fmt.Errorf("--runtime: %q: must be containerd or docker", opts.runtime))
}

// socket returns the path of the runtime's socket.
func (opts *loadOptions) socket(o *options, usual []string) (string, error) {
	if opts.endpoint != "" {
		return load.FindSocket([]string{opts.endpoint})
	}
	paths, err := below(o.root, usual)
	if err != nil {
		return "", err
	}
	return load.FindSocket(paths)
}

func printLoaded(cmd *cobra.Command, o *options, results []load.Result) error {
	views := []loadedView{}
	loaded, present := 0, 0
	for _, r := range results {
		view := loadedView{Reference: r.Reference.String(), Status: string(r.Status), Digest: r.Digest.String()}
		switch r.Status {
		case load.Loaded:
			loaded++
		case load.Present:
			present++
		default:
			view.Error = r.Err.Error()
		}
		views = append(views, view)
	}
	w := cmd.OutOrStdout()
	switch o.output {
	case "json":
		return printJSON(w, map[string]any{"images": views})
	case "yaml":
		return printYAML(w, map[string]any{"images": views})
	}
	_, err := fmt.Fprintf(w, "%s loaded, %d there already\n", report.Count(loaded, "image"), present)
	return err
}

// loadErrors are the errors of images, and that of an interruption.
func loadErrors(ctx context.Context, results []load.Result) error {
	var all []error
	for _, r := range results {
		if r.Err != nil {
			all = append(all, fmt.Errorf("%s: %w", r.Reference, r.Err))
		}
	}
	return errors.Join(append(all, ctx.Err())...)
}
