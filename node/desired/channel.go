package desired

import (
	"fmt"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/node/probestate"
)

// Readers are the programs that read one directory of hosts.toml files on a node.
type Readers struct {
	// Containerd is the release of the node's containerd; zero if it is not known, which counts
	// as any release.
	Containerd containerdconf.Release
	// Docker are the settings of the Docker Engine that reads the directory, nil if none does.
	Docker *Docker
}

// toTokenServer reports whether some reader sends a host's header to the token server that this
// host names, and whether every reader does.
func (r Readers) toTokenServer() (some, every bool) {
	if r.Containerd.IsZero() {
		return true, false
	}
	yes := r.Containerd.HeaderToTokenServer()
	return yes, yes
}

// Channel is how a login reaches a host.
type Channel struct {
	// Header is true if hosts.toml carries the login.
	Header bool
	// Serves is true if every reader logs in with the header.
	Serves bool
	// Why is the reason for a false Header or Serves, "" if both are true.
	Why string
	// Unprobed is true if it is not known yet whether the registry accepts Basic.
	Unprobed bool
}

// channelOf decides how the login for u travels: in a header, or only through kubelet's
// credential provider. It depends on auth of the login's entry (auto if it has none), on the
// readers of the file, and on what the prober learned about u; a zero fact means that nothing
// is known.
//
// A header serves where Basic is accepted. Where only tokens are accepted, it serves if the
// reader sends it on to the token server, and it may be written only if that server belongs to
// the registry.
func channelOf(u hostsconf.URL, auth config.Auth, readers Readers, fact probestate.Fact) Channel {
	switch {
	case auth == config.AuthToken && readers.Docker != nil:
		return Channel{Why: "auth: token: run docker login, or name docker-credential-berth in credHelpers"}
	case auth == config.AuthToken:
		return Channel{Why: "auth: token: only kubelet's credential provider passes the login"}
	case auth == config.AuthBasic && (readers.Docker == nil || readers.Docker.CannotRead == ""):
		return Channel{Header: true, Serves: true}
	}
	unprobed := fact.Basic != probestate.Accepted && fact.Basic != probestate.Refused
	if server, ok := realm.Known(u.Host); ok && unprobed && u.Scheme == "https" {
		fact.Basic, fact.Realm, unprobed = probestate.Refused, server, false
	}
	some, every := readers.toTokenServer()
	tokensOnly := fact.Basic == probestate.Refused
	switch {
	case readers.Docker != nil && readers.Docker.CannotRead != "":
		return Channel{Why: readers.Docker.CannotRead}
	case tokensOnly && readers.Docker != nil:
		return Channel{Why: "the registry accepts only tokens, and Docker requests them without the header; " +
			"run docker login, or name docker-credential-berth in credHelpers"}
	case tokensOnly && !some:
		return Channel{Why: fmt.Sprintf("the registry accepts only tokens, and containerd %s requests them without the header; "+
			"only kubelet's credential provider can pass the login", readers.Containerd)}
	case tokensOnly && fact.Realm == "":
		return Channel{Why: "the registry accepts only tokens and names no token server; auth: basic writes the header anyway"}
	}
	if fact.Realm != "" && some {
		if err := realm.Check(u.Scheme, u.Host, fact.Realm); err != nil {
			return Channel{Why: fmt.Sprintf("containerd 2.1 and later would send the header to the token server %s, which %v; auth: basic writes the header anyway",
				fact.Realm, err)}
		}
	}
	switch {
	case tokensOnly && !every:
		return Channel{Header: true, Why: "the registry accepts only tokens, which containerd before 2.1 requests without the header"}
	case tokensOnly:
		return Channel{Header: true, Serves: true}
	case fact.Leaks():
		return Channel{Why: fmt.Sprintf("the registry redirects layers to %s, and containerd would send the login there; "+
			"auth: basic writes the header anyway", fact.To)}
	}
	return Channel{Header: true, Serves: true, Unprobed: unprobed}
}

// UnprobedNotice is a notice about the registries whose login was not probed yet.
func (d *State) UnprobedNotice(readers Readers) []Notice {
	if len(d.unprobed) == 0 {
		return nil
	}
	takes := "if it accepts Basic"
	if some, _ := readers.toTokenServer(); some {
		takes += ", or if its token server is in its domain"
	}
	return []Notice{{"login", fmt.Sprintf("sent to %s %s; not probed yet; the agent probes it", strings.Join(d.unprobed, ", "), takes)}}
}
