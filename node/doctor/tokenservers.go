package doctor

import (
	"fmt"

	"github.com/berth-registry/berth/node/desired"
)

// tokenServers reports the token servers that registries with a login name, as far as they were
// probed: whether the login in the header is sent there, and what to write if it is not.
func (e *examination) tokenServers() {
	if e.Config == nil {
		return
	}
	e.tokenServersFor("containerd", e.inputs)
	if e.dockerReads {
		in := e.inputs
		in.Readers = desired.Readers{Docker: &desired.Docker{}}
		e.tokenServersFor("Docker", in)
	}
}

func (e *examination) tokenServersFor(program string, in desired.Inputs) {
	const name = "token-servers"
	seen := map[string]bool{}
	for _, t := range desired.Compute(e.Config, in).Targets {
		c, u := t.Channel, t.Host.URL.String()
		if t.ProbeHeader.IsZero() || c.TokenServer == "" || seen[u] {
			continue
		}
		seen[u] = true
		detail := fmt.Sprintf("%s: %s names the token server %s, which gets ", program, u, c.TokenServer)
		switch {
		case c.Untrusted:
			e.add(name, Warn, detail+"no login, because none is written: "+c.Why, c.Remedy)
		case c.ToTokenServer && !c.Serves:
			e.add(name, Warn, detail+"the login in the header from 2.1 on; the release is not known here", "run this as root where containerd runs")
		case c.ToTokenServer:
			e.add(name, OK, detail+"the login in the header", "")
		case c.Header:
			e.add(name, OK, detail+"no login: the registry accepts it with each request", "")
		default:
			e.add(name, Warn, detail+"no login: "+c.Why, c.Remedy)
		}
	}
}
