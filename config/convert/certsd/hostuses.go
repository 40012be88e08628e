package certsd

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
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
	at       source.Cursor
	host     string // host[:port]
	upstream string // whose images the host is asked for
	plain    bool   // over http, where tls has no effect
	byRule   bool   // asked by containerd's rule for this machine
	tls      draft.TLS
	login    *draft.Login
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
func (d *reader) placeUses() {
	for _, host := range d.uses.hosts {
		uses := d.uses.all[host]
		r := &draft.Registry{Host: host}
		tls, login := chosenTLS(uses), chosenLogin(uses)
		if tls != nil || login != nil {
			r = d.Registry(host, uses[0].at)
		}
		if tls != nil {
			r.TLS = tls.tls
		}
		if login != nil {
			r.Login = login.login
		}
		d.compareUses(r, uses)
	}
	if d.uses.pushed {
		d.Note("A host without capabilities was pushed to as well. Here endpoints are not; " +
			"for pushes write capabilities: [pull, resolve, push].")
	}
	if d.uses.slow {
		d.Note("containerd waits up to 30 s for a host without dial_timeout. An endpoint without " +
			"dialTimeout has 2 s.")
	}
	if d.Mirror(hostsconf.Default) == nil {
		return
	}
	d.NoteWildcard()
	for _, r := range d.uses.direct {
		if r.upstream != hostsconf.Default && d.Mirror(r.upstream) == nil {
			entry := d.Registry(r.upstream, source.Cursor{In: r.in})
			entry.Named = true
			entry.Note(`Named so that the mirror for "*" leaves it alone, as its directory did.`)
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
		verified = verified || !u.tls.SkipVerify
		if u.tls != (draft.TLS{}) && (chosen == nil || chosen.tls.SkipVerify && !u.tls.SkipVerify) {
			chosen = &uses[i]
		}
	}
	if chosen != nil && chosen.tls.SkipVerify && verified {
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
func (d *reader) compareUses(r *draft.Registry, uses []hostUse) {
	own := false
	for _, u := range uses {
		own = own || u.upstream == r.Host && !u.byRule
		switch {
		case u.plain || u.tls == r.TLS:
		case u.tls == (draft.TLS{}):
			r.Note("The tls settings were not for images of %s. Here they are used for these, too.",
				draft.NameOf(u.upstream))
		default:
			d.loseTLS(r.Host, u)
		}
		switch {
		case r.Login == nil || u.login != nil && *u.login == *r.Login:
		case u.login == nil:
			r.Note("The login was not sent to %s for images of %s. Here it is.", r.Host,
				draft.NameOf(u.upstream))
		default:
			d.Lose(u.at.Loss("a second login for "+r.Host+", for images of "+
				draft.NameOf(u.upstream),
				"only the first is used; keep one of the two"))
		}
	}
	var settings []string
	if r.TLS != (draft.TLS{}) {
		settings = append(settings, "tls settings")
	}
	if r.Login != nil {
		settings = append(settings, "login")
	}
	if !own && len(settings) > 0 {
		r.Note("These settings (%s) were only for images of %s. Here they are for images that "+
			"name %s, too.",
			strings.Join(settings, ", "), draft.NameOf(uses[0].upstream), r.Host)
	}
	if !own && len(settings) > 0 && hostport.IsLoopback(r.Host) {
		r.Note("Without settings containerd asks a registry on this machine over https without " +
			"verification, " +
			"and over http if it speaks no TLS. " +
			"Here it is asked in one of these ways, with these settings.")
	}
}

func (d *reader) loseTLS(host string, u hostUse) {
	d.Lose(u.at.Loss("tls settings of "+host+" for images of "+draft.NameOf(u.upstream)+
		" that differ from those for other images",
		"a host has one of them here: those that verify it, else the first; use the same "+
			"everywhere"))
}
