package desired

import (
	"fmt"
	"maps"
	"slices"
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
	// Why is the reason for a false Header or Serves, "" if both are true. Remedy says what an
	// operator can do; it may be "".
	Why, Remedy string
	// TokenServer is the token server that the registry names, "" for none or if it is unknown.
	TokenServer string
	// ToTokenServer is true if some reader sends the header to TokenServer.
	ToTokenServer bool
	// Untrusted is true if the reason is that token server.
	Untrusted bool
	// Unprobed is true if it is not known yet whether the registry accepts Basic.
	Unprobed bool
}

// Reason returns why the login is in no header or may not serve, and the remedy.
func (c Channel) Reason() string {
	if c.Remedy == "" {
		return c.Why
	}
	return c.Why + "; " + c.Remedy
}

const (
	dockerRemedy = "run docker login, or name docker-credential-berth in credHelpers"
	basicRemedy  = "auth: basic writes the header anyway"
)

// channelOf decides how the login for u travels: in a header, or only through kubelet's
// credential provider. It depends on auth of the login's entry (auto if it has none), on the
// token servers that the config lists for u, on the readers of the file, and on what the prober
// learned about u; a zero fact means that nothing is known.
//
// A header serves where Basic is accepted. Where only tokens are accepted, it serves if the
// reader sends it on to the token server, and it may be written only if that server may have it.
func channelOf(u hostsconf.URL, auth config.Auth, listed []string, readers Readers, fact probestate.Fact) Channel {
	unprobed := fact.Basic != probestate.Accepted && fact.Basic != probestate.Refused
	if server, ok := realm.Known(u.Host); ok && unprobed && u.Scheme == "https" {
		fact.Basic, fact.Realm, unprobed = probestate.Refused, server, false
	}
	c := Channel{TokenServer: fact.Realm}
	some, every := readers.toTokenServer()
	tokensOnly := fact.Basic == probestate.Refused
	because := func(why, remedy string) Channel {
		c.Why, c.Remedy = why, remedy
		return c
	}
	switch {
	case auth == config.AuthToken && readers.Docker != nil:
		return because("auth: token", dockerRemedy)
	case auth == config.AuthToken:
		return because("auth: token: only kubelet's credential provider passes the login", "")
	case readers.Docker != nil && readers.Docker.CannotRead != "":
		return because(readers.Docker.CannotRead, "")
	case auth == config.AuthBasic:
		c.Header, c.Serves, c.ToTokenServer = true, true, tokensOnly && some
		return c
	case tokensOnly && readers.Docker != nil:
		return because("the registry accepts only tokens, and Docker requests them without the header", dockerRemedy)
	case tokensOnly && !some:
		return because(fmt.Sprintf("the registry accepts only tokens, and containerd %s requests them without the header", readers.Containerd),
			"only kubelet's credential provider can pass the login")
	case tokensOnly && fact.Realm == "":
		return because("the registry accepts only tokens and names no token server", basicRemedy)
	}
	if err := checkRealms(u, listed, fact); err != nil && some {
		c.TokenServer, c.Untrusted = err.Server, true
		return because("containerd 2.1 and later would send the header to the token server "+err.Error(), err.Remedy())
	}
	switch {
	case tokensOnly && !every:
		c.Header, c.ToTokenServer = true, true
		return because("the registry accepts only tokens, which containerd before 2.1 requests without the header", "")
	case tokensOnly:
		c.ToTokenServer = true
	case fact.Leaks():
		return because(fmt.Sprintf("the registry redirects layers to %s, and containerd would send the login there", fact.To), basicRemedy)
	}
	c.Header, c.Serves, c.Unprobed = true, true, unprobed
	return c
}

// channel decides how a login for u travels, see [channelOf].
func (d *State) channel(u hostsconf.URL, auth config.Auth) Channel {
	fact, _ := probestate.ParseFact(d.in.Learned, u)
	c := channelOf(u, auth, tokenRealms(d.registries, u), d.in.Readers, fact)
	if c.Unprobed && d.in.LoginPending != nil && d.in.LoginPending(u) {
		return Channel{Why: "it is being probed"}
	}
	return c
}

// UnprobedNotices are notices about the registries with a header whose login was not probed, one for
// each reason.
func (d *State) UnprobedNotices() []Notice {
	takes := "if it accepts Basic"
	if some, _ := d.in.Readers.toTokenServer(); some {
		takes += ", or if its token server is in its domain"
	}
	hosts := map[string][]string{}
	for _, u := range d.unprobed {
		fact, _ := probestate.ParseFact(d.in.Learned, u)
		hosts[fact.Error] = append(hosts[fact.Error], u.String())
	}
	var notices []Notice
	for _, fault := range slices.Sorted(maps.Keys(hosts)) {
		state := "not probed yet; the agent probes it"
		if fault != "" {
			state = "not probed: " + fault + "; apply and the agent ask again"
		}
		notices = append(notices, Notice{"login", fmt.Sprintf("sent to %s %s; %s", strings.Join(hosts[fault], ", "), takes, state)})
	}
	return notices
}
