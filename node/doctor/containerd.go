package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/node"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// containerd reports which containerd runs, and whether it honours hosts.toml files.
func (e *examination) containerd(ctx context.Context) {
	var err error
	if e.engine, err = node.Discover(ctx, e.Machine); err != nil {
		e.add("containerd", Fail, err.Error(), "run this as root on the node itself")
		return
	}
	c := e.engine
	if c.Absent(e.Machine) {
		e.add("containerd", Fail, "no containerd was found: no process, no service, no configuration", "install it first, or run this where it runs")
		e.sameDirectory(c)
		return
	}
	what := "containerd " + c.Release.String()
	if c.Detail != "" {
		what += ", " + c.Detail
	}
	what += ", " + c.Configured()
	if c.Layout != node.Plain {
		what += fmt.Sprintf(" (%s)", c.Layout)
	}
	switch {
	case c.PID == 0 && e.Machine.Proc != "":
		e.add("containerd", Warn, "no containerd runs here; examined: "+what, "start it, or run this where it runs")
	case len(c.Others) > 0:
		e.add("containerd", Warn, fmt.Sprintf("%s; %d more run here and were not examined", what, len(c.Others)), "")
	default:
		e.add("containerd", OK, what, "")
	}
	e.verdict(c)
	e.notRead = !c.Verdict.Honoured
	e.certsDir = c.CertsDir()
	e.sameDirectory(c)
}

// verdict reports the issues of the configuration.
func (e *examination) verdict(c node.Containerd) {
	const name = "config-path"
	switch changed := node.ChangedSince(e.Machine, c); {
	case len(changed) > 0:
		e.add(name, Warn, fmt.Sprintf("%s was changed after containerd was started, and is read only then; what is reported here may not be in effect",
			strings.Join(changed, ", ")), node.Restart(c.Unit, "containerd"))
	case c.Verdict.Honoured:
		e.add(name, OK, "hosts.toml files are read from "+c.CertsDir(), "")
	}
	var cannot error // the error of berth install
	if !c.Verdict.Honoured {
		_, cannot = node.Wire(c, node.Options{})
	}
	for _, t := range c.Verdict.Issues {
		level := Warn
		if t.Blocking {
			level = Fail
		}
		e.add(name, level, t.Where+": "+t.Detail, node.Remedy(t, cannot))
	}
}

// sameDirectory checks that containerd reads the directory that Berth writes to.
func (e *examination) sameDirectory(c node.Containerd) {
	if e.Config == nil {
		return
	}
	writes := e.Config.Containerd.CertsDir
	if e.certsDir == "" {
		e.certsDir = writes
		return
	}
	same, remedy := c.SameDir(e.Machine, c.Verdict, writes)
	if same {
		return
	}
	e.add("certs-dir", Fail, fmt.Sprintf("Berth writes to %s, and containerd reads %s", writes, e.certsDir), remedy)
}

// defaultDir is examined if neither containerd nor a config names a directory.
const defaultDir = containerdconf.DefaultCertsDir
