package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// Running caches the release of the running containerd: the program is asked again only if the
// process or the program has changed.
type Running struct {
	identity string
	release  containerdconf.Release
}

// Release returns the release of the containerd that serves kubelet: of the running one or, if none
// is seen, of the one that its unit would start. It is zero if that is not known; for a
// distribution that brings its own containerd it is not guessed. Release reads no configuration.
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

// running finds the containerd of h and its identity: that of the process or, if none is seen, of
// the program; "" if the program is missing.
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
