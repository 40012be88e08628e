package convert

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// hostUses are the settings of hosts in hosts.toml files, where each directory has its own. A
// RegistryConfig has one setting for a host.
type hostUses struct {
	hosts []string // in the order of the input
	all   map[string][]hostUse
	// direct are the directories without mirrors.
	direct []registryDirectory
	// pushed and slow say that a host has no capabilities, or no timeout.
	pushed, slow bool
}

// hostUse is a host in one directory.
type hostUse struct {
	at       cursor
	host     string // host[:port]
	upstream string // whose images the host is asked for
	plain    bool   // over http, where tls has no effect
	byRule   bool   // asked by containerd's rule for this machine
	tls      tlsFiles
	login    *login
}

func (h *hostUses) add(u hostUse) {
	u.host = dockerhub.Canonical(u.host)
	if h.all == nil {
		h.all = map[string][]hostUse{}
	}
	if len(h.all[u.host]) == 0 {
		h.hosts = append(h.hosts, u.host)
	}
	h.all[u.host] = append(h.all[u.host], u)
}

// own returns the use of a host for its own images, nil if there is none.
func (h *hostUses) own(host string) *hostUse {
	for i, u := range h.all[host] {
		if u.upstream == host {
			return &h.all[host][i]
		}
	}
	return nil
}

// placeUses writes one registries entry for each host with settings.
func (d *certs) placeUses() {
	for _, host := range d.uses.hosts {
		uses := d.uses.all[host]
		r := &registry{host: host}
		tls, login := chosenTLS(uses), chosenLogin(uses)
		if tls != nil || login != nil {
			r = d.registry(host, uses[0].at)
		}
		if tls != nil {
			r.tls = tls.tls
		}
		if login != nil {
			r.login = login.login
		}
		d.compareUses(r, uses)
	}
	if d.uses.pushed {
		d.note("A host without capabilities was pushed to as well. Here endpoints are not; " +
			"for pushes write capabilities: [pull, resolve, push].")
	}
	if d.uses.slow {
		d.note("containerd waits up to 30 s for a host without dial_timeout. An endpoint without dialTimeout has 2 s.")
	}
	if d.mirror(hostsconf.Default) == nil {
		return
	}
	d.noteWildcard()
	for _, r := range d.uses.direct {
		if r.upstream != hostsconf.Default && d.mirror(r.upstream) == nil {
			entry := d.registry(r.upstream, cursor{in: r.in})
			entry.named = true
			entry.note(`Named so that the mirror for "*" leaves it alone, as its directory did.`)
		}
	}
}

// chosenTLS returns the use whose tls settings count: the first with any, but one that verifies the
// host is preferred, so that no use becomes less secure. nil means that the host needs none.
func chosenTLS(uses []hostUse) *hostUse {
	var chosen *hostUse
	verified := false
	for i, u := range uses {
		if u.plain {
			continue
		}
		verified = verified || !u.tls.skipVerify
		if u.tls != (tlsFiles{}) && (chosen == nil || chosen.tls.skipVerify && !u.tls.skipVerify) {
			chosen = &uses[i]
		}
	}
	if chosen != nil && chosen.tls.skipVerify && verified {
		return nil
	}
	return chosen
}

func chosenLogin(uses []hostUse) *hostUse {
	i := slices.IndexFunc(uses, func(u hostUse) bool { return u.login != nil })
	if i < 0 {
		return nil
	}
	return &uses[i]
}

// compareUses names each use of a host whose settings differ from those of its entry.
func (d *certs) compareUses(r *registry, uses []hostUse) {
	own := false
	for _, u := range uses {
		own = own || u.upstream == r.host && !u.byRule
		switch {
		case u.plain || u.tls == r.tls:
		case u.tls == (tlsFiles{}):
			r.note("The tls settings were not for images of %s. Here they are used for these, too.", nameOf(u.upstream))
		default:
			d.loseTLS(r.host, u)
		}
		switch {
		case r.login == nil || u.login != nil && *u.login == *r.login:
		case u.login == nil:
			r.note("The login was not sent to %s for images of %s. Here it is.", r.host, nameOf(u.upstream))
		default:
			d.lose(u.at.loss("a second login for "+r.host+", for images of "+nameOf(u.upstream),
				"only the first is used; keep one of the two"))
		}
	}
	var settings []string
	if r.tls != (tlsFiles{}) {
		settings = append(settings, "tls settings")
	}
	if r.login != nil {
		settings = append(settings, "login")
	}
	if !own && len(settings) > 0 {
		r.note("These settings (%s) were only for images of %s. Here they are for images that name %s, too.",
			strings.Join(settings, ", "), nameOf(uses[0].upstream), r.host)
	}
	if !own && len(settings) > 0 && hostport.IsLoopback(r.host) {
		r.note("Without settings containerd asks a registry on this machine over https without verification, " +
			"and over http if it speaks no TLS. " +
			"Here it is asked in one of these ways, with these settings.")
	}
}

func (d *certs) loseTLS(host string, u hostUse) {
	d.lose(u.at.loss("tls settings of "+host+" for images of "+nameOf(u.upstream)+" that differ from those for other images",
		"a host has one of them here: those that verify it, else the first; use the same everywhere"))
}
