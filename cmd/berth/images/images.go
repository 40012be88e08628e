// Package images holds the verbs of "berth images": flags, printing, exit code. The packages below
// images do the work. Start reading at [New].
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/nodefs"
)

// New returns the verb images, with the verbs below it.
func New(o *cli.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List the images in use, check and copy them, and point manifests at a registry",
		Long: `Move to a private registry: list the images in use, check that the registry has
them all, copy them there, and point manifests at it. None of it needs a config.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	// In the order of use.
	cmd.AddCommand(newList(o), newCheck(o), newCopy(o), newDiff(o), newRewrite(o),
		newLoad(o), newServe(o))
	return cmd
}

// noArguments refuses arguments; hint names the flag to use.
func noArguments(hint string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%q: takes no arguments; %s", args[0], hint)
		}
		return nil
	}
}

// imageSources are the flags that select images.
type imageSources struct {
	manifests []string
	plain     []string
	from      []string // directories; only for list
	endpoint  string
	unused    bool
	unknown   bool
	namespace string
}

func (s *imageSources) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&s.manifests, "filename", "f", nil, "manifests: a file, a directory and all below it, or - for standard input; repeatable")
	f.StringArrayVar(&s.plain, "plain", nil, "a file with an image on each line, or -; repeatable")
	f.StringVar(&s.endpoint, "runtime-endpoint", "", "socket of the container runtime of this node (default the first that exists, if neither -f nor --plain is given)")
	f.BoolVar(&s.unknown, "allow-unknown", false, "do not report values that look like an image in fields that are not known to hold one")
	f.BoolVar(&s.unused, "unused", false, "with a node: also images that no container uses")
}

// collect reads all sources. What could not be read is in the list; the error
// is one of usage, or of the root.
func (s *imageSources) collect(ctx context.Context, o *cli.Options, stdin io.Reader) (*list.List, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	l := &list.List{AllowUnknown: s.unknown, Namespace: s.namespace}
	for _, name := range s.manifests {
		l.AddManifests(name, stdin)
	}
	for _, name := range s.plain {
		l.AddPlain(name, stdin)
	}
	for _, name := range s.from {
		at, err := reference.ParseSource(name)
		if err != nil {
			return nil, cli.Usage(fmt.Errorf("--from: %w", err))
		}
		l.AddLayout(at)
	}
	if s.endpoint != "" {
		l.AddNode(ctx, []string{s.endpoint}, s.unused)
		return l, nil
	}
	if s.onNode() {
		sockets, err := below(o.Root, list.RuntimeSockets())
		if err != nil {
			return nil, err
		}
		l.AddNode(ctx, sockets, s.unused)
	}
	return l, nil
}

// given reports whether a flag names images.
func (s *imageSources) given() bool {
	return len(s.manifests)+len(s.plain) > 0 || s.endpoint != ""
}

// onNode reports whether the images come from the node.
func (s *imageSources) onNode() bool {
	return s.endpoint != "" || len(s.manifests)+len(s.plain)+len(s.from) == 0
}

func (s *imageSources) check() error {
	if s.unused && !s.onNode() {
		return cli.Usage(errors.New("--unused: is for a node, and -f and --plain ask none; add --runtime-endpoint or remove it"))
	}
	if s.namespace != "" && len(s.plain) > 0 {
		return cli.Usage(errors.New("--namespace: a plain list has no namespaces; name manifests with -f, as kubectl get -o yaml prints them"))
	}
	return onceStdin(slices.Concat(s.manifests, s.plain))
}

// onceStdin refuses to read standard input twice.
func onceStdin(names []string) error {
	n := 0
	for _, name := range names {
		if name == "" {
			return cli.Usage(errors.New("an empty name of a file; write - for standard input"))
		}
		if name == document.Stdin {
			n++
		}
	}
	if n > 1 {
		return cli.Usage(fmt.Errorf("standard input (-) is named %d times and can be read once", n))
	}
	return nil
}

// below returns paths of the node as this process opens them.
func below(dir string, paths []string) ([]string, error) {
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	resolved := make([]string, len(paths))
	for i, path := range paths {
		if resolved[i], err = root.Resolve(path); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}
