package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/reconcile"
)

// configJSON checks kubelet's own config.json, if the config asks for logins there.
func (e *examination) configJSON(ctx context.Context) {
	const name = "config-json"
	if e.Config == nil || !e.Config.Kubelet.ConfigJSON {
		return
	}
	p, err := reconcile.ConfigJSON(ctx, e.Machine, e.Config)
	if err != nil {
		e.add(name, Warn, err.Error(), "run this as root")
		return
	}
	for _, n := range p.Notices {
		e.add(name, Warn, n.String(), "")
	}
	conflict := false
	for _, c := range p.Changes {
		if c.Action == managedfile.Conflict {
			conflict = true
			e.add(name, Fail, c.Path+": "+c.Reason, "name its logins in dockerConfigFile, then remove it")
		}
	}
	switch {
	case conflict:
	case slices.ContainsFunc(p.Changes, hostsconf.IsDifference):
		e.add(name, Warn, fmt.Sprintf("kubelet's %s is not as the config says", p.Path), `run "berth apply", or start the agent`)
	case p.Why == reconcile.NoLogin:
		e.add(name, OK, "no login is in kubelet's config.json: "+p.Why, "")
	case len(p.Hosts) == 0 && p.Path == "":
		e.add(name, Warn, "no login is written for kubelet: "+p.Why, "run this as root on the node, while kubelet runs")
	case len(p.Hosts) == 0:
		e.add(name, OK, fmt.Sprintf("no login is in kubelet's %s: %s", p.Path, p.Why), "")
	case p.Unseen != "":
		e.fileLogins = p.Hosts
		e.add(name, Warn, fmt.Sprintf("%s holds the login of %s; whether kubelet uses another file is not known: %s",
			p.Path, strings.Join(p.Hosts, ", "), p.Unseen), "run this as root on the node, while kubelet runs")
	default:
		e.fileLogins = p.Hosts
		e.add(name, OK, fmt.Sprintf("%s holds the login of %s; %s", p.Path, strings.Join(p.Hosts, ", "), reconcile.UsedWithin), "")
	}
}
