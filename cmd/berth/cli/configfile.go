package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/reconcile"
)

// Open opens the node and reads the config, whose warnings it prints to stderr.
func (o *Options) Open(stderr io.Writer) (*reconcile.Node, *config.Config, error) {
	n, err := reconcile.Open(o.Root)
	if err != nil {
		return nil, nil, err
	}
	cfg, warnings, err := o.ReadConfig(n.Root)
	if err != nil {
		return nil, nil, errors.Join(err, n.Close())
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	return n, cfg, nil
}

// OpenMaybe is Open, but returns a nil config if none is named and the node has none.
func (o *Options) OpenMaybe(stderr io.Writer) (*reconcile.Node, *config.Config, error) {
	n, cfg, err := o.Open(stderr)
	if _, none := errors.AsType[*NoConfigError](err); o.Config != "" || !none {
		return n, cfg, err
	}
	n, err = reconcile.Open(o.Root)
	return n, nil, err
}

// ReadConfig reads the config that --config names, - for standard input, or that of the node. If that
// file is missing, the error is a *NoConfigError.
func (o *Options) ReadConfig(root *nodefs.Root) (*config.Config, []config.Warning, error) {
	if o.Config == "-" {
		file, err := config.ReadFrom(o.stdin, "stdin")
		if err != nil {
			return nil, nil, err
		}
		return file.Parse()
	}
	file, err := config.ReadOnNode(root, o.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &NoConfigError{err}
	}
	if err != nil {
		return nil, nil, err
	}
	return file.Parse()
}

// NoConfigError says that the RegistryConfig is missing. A missing file that the config names is
// another error.
type NoConfigError struct{ err error }

func (e *NoConfigError) Error() string {
	return e.err.Error() + "; write a RegistryConfig there, or name one with --config"
}

func (e *NoConfigError) Unwrap() error { return e.err }
