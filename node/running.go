package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// Running caches the release of the running containerd: it runs --version again only when the
// process or the program changed.
type Running struct {
	identity string
	release  containerdconf.Release
}

// Release returns the release of the containerd that serves kubelet on a node: of the running
// one or, if none is seen, of the one that its unit would start. It is zero if it cannot be
// known; for a distribution with its own containerd it is not guessed. It reads no
// configuration.
func (r *Running) Release(ctx context.Context, m Machine) containerdconf.Release {
	if m.Version == nil {
		return containerdconf.Release{}
	}
	c, identity, err := running(m)
	if err != nil {
		return containerdconf.Release{}
	}
	if identity == "" || identity != r.identity || r.release.IsZero() {
		c.findRelease(ctx, m)
		r.identity, r.release = identity, c.Release
	}
	return r.release
}

var errProcessUnseen = errors.New("its process cannot be seen")

// running finds the containerd of m and its identity: the process or, if none is seen, the
// program; "" if that is missing.
func running(m Machine) (c Containerd, identity string, err error) {
	processes, err := m.containerds()
	switch {
	case err != nil:
		return c, "", err
	case len(processes) > 0:
		if err = c.fromProcesses(m, processes); err == nil {
			identity, err = Identity(m, c.PID)
		}
		return c, identity, err
	case c.fromLayout(m):
		return c, "", errProcessUnseen
	}
	if err := c.fromUnit(m); err != nil {
		return c, "", err
	}
	c.Binary = cmp.Or(c.Binary, defaultBinary(m))
	real, err := m.Root.Resolve(c.Binary)
	if err != nil {
		return c, "", nil
	}
	info, err := os.Stat(real)
	if err != nil {
		return c, "", nil
	}
	return c, fmt.Sprintf("%s, of %s, %d bytes", c.Binary, info.ModTime(), info.Size()), nil
}
