package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/load"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/report"
)

// loadOptions are the flags of berth images load.
type loadOptions struct {
	runtime, endpoint, snapshotter string
	pin, follow                    bool
}

func newLoad(o *cli.Options) *cobra.Command {
	var opts loadOptions
	cmd := &cobra.Command{
		Use:   "load DIR|FILE.tar.zst… [IMAGE…]",
		Short: "Load images from a directory or a file into this node's containerd or Docker",
		Long: `Load images that berth images copy has written into containerd, where kubelet finds
them: all, or those that are named. They are in a directory (oci:DIR or DIR), in files
(FILE.tar, FILE.tar.zst), or in all files and directories of that kind that DIR holds.
Of an image for several platforms, this node's is loaded. Each image gets the names
that kubelet may ask for, by tag and by digest, after all of it is there and unpacked.
What is there already is neither read nor sent again.

A file that is broken, or not complete yet, is named, and the others are loaded. If
two files have different images of one name, the last one's is loaded. A file that was
written with --except finds the rest in the others.

With --pin kubelet's garbage collection leaves the images alone. A containerd whose CRI
knows no pins, such as 1.6.20, is named.

With --follow it goes on until it is interrupted, and loads what is added.

--runtime docker loads them into Docker Engine, by tag. Docker's own image store, the
one that is not containerd's, cannot be asked for them by digest; a Docker that has it
is named.

A pod still asks a registry if its imagePullPolicy is Always, or if kubelet is told
to verify credentials of every image (imagePullCredentialsVerificationPolicy:
AlwaysVerify).

Exit code 1 if an image could not be loaded; the rest is loaded anyway.`,
		Example: "  berth images load oci:usb-stick\n" +
			"  berth images load --pin usb-stick registry.k8s.io/pause:3.10.2\n" +
			"  berth images load --pin /var/lib/berth-images",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("needs images: oci:DIR, DIR, FILE.tar or FILE.tar.zst")
			}
			return nil
		},
		Annotations: cli.Formats("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.follow {
				return opts.followSources(cmd, o, args)
			}
			return opts.run(cmd, o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.runtime, "runtime", "containerd", "where to: containerd or docker")
	f.StringVar(&opts.endpoint, "runtime-endpoint", "", "socket of the runtime (default the first that exists: of containerd, k3s, RKE2, k0s, MicroK8s; or of docker)")
	f.StringVar(&opts.snapshotter, "snapshotter", "overlayfs", "snapshotter of containerd's CRI")
	f.BoolVar(&opts.pin, "pin", false, "keep kubelet's garbage collection from the images")
	f.BoolVar(&opts.follow, "follow", false, "go on, and load what is added")
	return cmd
}

// loadedView is a line of the result.
type loadedView struct {
	Reference string `json:"reference" yaml:"reference"`
	Status    string `json:"status" yaml:"status"`
	Digest    string `json:"digest,omitempty" yaml:"digest,omitempty"`
	Error     string `json:"error,omitempty" yaml:"error,omitempty"`
}

// run loads once.
func (opts *loadOptions) run(cmd *cobra.Command, o *cli.Options, args []string) error {
	sources, names := loadedFrom(args)
	images, problems, err := openSources(sources)
	if err != nil {
		return err
	}
	defer images.Close()
	if len(images.layouts)+len(problems) == 0 && !opts.follow {
		return fmt.Errorf("%s: holds no images: no FILE.tar, no FILE.tar.zst and no OCI layout", sources[0])
	}
	if len(images.layouts) == 0 {
		return errors.Join(problems...)
	}
	wanted, more, err := images.wanted(names)
	if err != nil {
		return cli.Usage(err)
	}
	problems = append(problems, more...)
	store, err := opts.store(o)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Ping(cmd.Context()); err != nil {
		return &pingError{errors.Join(append(problems, err)...)}
	}
	loader := load.Loader{Store: store, Log: slog.New(slog.DiscardHandler)}
	results := loader.Load(cmd.Context(), images.merged, wanted)
	printed := printLoaded(cmd, o, results, images.merged.Replaced())
	err = errors.Join(printed, errors.Join(problems...), loadErrors(cmd.Context(), results))
	if notice := store.Notice(cmd.Context(), results); notice != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "berth: "+notice)
	}
	return err
}

// pingError says that the runtime does not answer.
type pingError struct{ error }

func (e *pingError) Unwrap() error { return e.error }

// How often sources are looked at with --follow, and the longest pause after a failure.
const (
	followEvery = 10 * time.Second
	followPause = 10 * time.Minute
)

// followSources loads whenever files change, and again after a failure. It ends if the runtime does
// not answer: its socket may be a new one, which a container does not see before it is started again.
func (opts *loadOptions) followSources(cmd *cobra.Command, o *cli.Options, args []string) error {
	sources, _ := loadedFrom(args)
	last, pause, due := "-", followEvery, time.Time{}
	for {
		now := bundle.State(sources)
		if now != last || !due.IsZero() && time.Now().After(due) {
			if now != last {
				pause = followEvery
			}
			last, due = now, time.Time{}
			err := opts.run(cmd, o, args)
			code, wrong := errors.AsType[*cli.ExitError](err)
			if _, silent := errors.AsType[*pingError](err); silent || wrong && code.Code == cli.ExitUsage {
				return err
			}
			if err != nil && cmd.Context().Err() == nil {
				cli.PrintError(err, cmd.ErrOrStderr())
				due, pause = time.Now().Add(pause), min(2*pause, followPause)
			}
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

// loadedFrom divides arguments into sources and names of images.
func loadedFrom(args []string) (sources, names []string) {
	for i, arg := range args {
		if i == 0 || strings.HasPrefix(arg, "oci:") || reference.IsBundle(arg) {
			sources = append(sources, arg)
		} else {
			names = append(names, arg)
		}
	}
	return sources, names
}

// openedSources are the files that images are loaded from.
type openedSources struct {
	merged  load.Merged
	layouts []*layout.Layout
}

// openSources opens files and directories. problems are those that cannot be opened, if there are
// others.
func openSources(args []string) (*openedSources, []error, error) {
	var locations []reference.Location
	var problems []error
	for _, arg := range args {
		at, err := reference.ParseSource(arg)
		if err != nil {
			return nil, nil, cli.Usage(err)
		}
		if at.Layout() == "" || strings.HasPrefix(arg, "oci:") {
			locations = append(locations, at)
			continue
		}
		in, wrong, err := bundle.In(at.Layout())
		if err != nil {
			return nil, nil, err
		}
		locations, problems = append(locations, in...), append(problems, wrong...)
	}
	s := &openedSources{}
	for _, at := range locations {
		images, err := bundle.OpenLocation(at)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.layouts = append(s.layouts, images)
		s.merged = append(s.merged, load.File{Name: at.String(), Source: images})
	}
	return s, problems, nil
}

// Close closes all.
func (s *openedSources) Close() {
	for _, l := range s.layouts {
		_ = l.Close() // was only read
	}
}

// wanted returns the images to load: those that are named, or all. problems are entries without a
// name.
func (s *openedSources) wanted(names []string) (wanted []reference.Reference, problems []error, err error) {
	for _, name := range names {
		r, err := reference.Parse(name)
		if err != nil {
			return nil, nil, err
		}
		wanted = append(wanted, r)
	}
	if len(names) > 0 {
		return wanted, nil, nil
	}
	for _, l := range s.layouts {
		all, wrong := l.References()
		wanted, problems = append(wanted, all...), append(problems, wrong...)
	}
	slices.SortStableFunc(wanted, reference.Compare)
	return slices.Compact(wanted), problems, nil
}

// connectedStore is a store with a connection.
type connectedStore interface {
	load.Store
	// Ping returns an error if the runtime does not answer.
	Ping(ctx context.Context) error
	// Notice says what the runtime cannot do with the images that are there, "" for nothing.
	Notice(ctx context.Context, results []load.Result) string
	io.Closer
}

// store connects to the image store of the runtime.
func (opts *loadOptions) store(o *cli.Options) (connectedStore, error) {
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
			return nil, cli.Usage(errors.New("--pin: is for kubelet's images in containerd; remove it"))
		}
		socket, err := opts.socket(o, []string{load.DockerSocket})
		if err != nil {
			return nil, err
		}
		return load.DialDocker(socket), nil
	}
	return nil, cli.Usage(fmt.Errorf("--runtime: %q: must be containerd or docker", opts.runtime))
}

// socket returns the path of the runtime's socket.
func (opts *loadOptions) socket(o *cli.Options, usual []string) (string, error) {
	if opts.endpoint != "" {
		return load.FindSocket([]string{opts.endpoint})
	}
	paths, err := below(o.Root, usual)
	if err != nil {
		return "", err
	}
	return load.FindSocket(paths)
}

func printLoaded(cmd *cobra.Command, o *cli.Options, results []load.Result, replaced []load.Replaced) error {
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
	result := map[string]any{"images": views, "replaced": replaced}
	return o.Print(cmd.OutOrStdout(), result, func(w io.Writer) error {
		for _, r := range replaced {
			if _, err := fmt.Fprintf(w, "replaced  %s of %s by that of %s\n", r.Reference, r.From, r.By); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s loaded, %d there already\n", report.Count(loaded, "image"), present)
		return err
	})
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
