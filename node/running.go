package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// Running remembers which release of containerd runs, so that the program is
// asked only when another process runs, or another program is there.
type Running struct {
	identity string
	release  containerdconf.Release
}

// Release gives the release of the containerd that serves kubelet on a node: of
// the one that runs or, where none is seen, of the one that its unit would start.
// It is zero when that cannot be told; a distribution that brings its own
// containerd is not guessed at. It reads no configuration.
func (r *Running) Release(ctx context.Context, h Host) containerdconf.Release {
	if h.Version == nil {
		return containerdconf.Release{}
	}
	c, identity, err := running(h)
	if err != nil {
		return containerdconf.Release{}
	}
	if identity == "" || identity != r.identity || r.release.IsZero() {
		c.ask(ctx, h)
		r.identity, r.release = identity, c.Release
	}
	return r.release
}

var errUnseen = errors.New("its process cannot be seen")

// running finds the containerd of h and what identifies it: the process or, where
// none is seen, the program; "" when that is not there.
func running(h Host) (c Containerd, identity string, err error) {
	processes, err := h.containerds()
	switch {
	case err != nil:
		return c, "", err
	case len(processes) > 0:
		if err = c.fromProcesses(h, processes); err == nil {
			identity, err = Identity(h, c.PID)
		}
		return c, identity, err
	case c.fromLayout(h):
		return c, "", errUnseen
	}
	if err := c.fromUnit(h); err != nil {
		return c, "", err
	}
	c.Binary = cmp.Or(c.Binary, usualBinary(h))
	real, err := h.Root.Resolve(c.Binary)
	if err != nil {
		return c, "", nil
	}
	info, err := os.Stat(real)
	if err != nil {
		return c, "", nil
	}
	return c, fmt.Sprintf("%s, of %s, %d bytes", c.Binary, info.ModTime(), info.Size()), nil
}
