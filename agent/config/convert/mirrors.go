package convert

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// foreignMirror is one entry of a mirrors table, before it is known whether
// the registry needs a mirror at all.
type foreignMirror struct {
	at        cursor
	upstream  string
	endpoints []endpoint
	notes     []string
}

// readMirrors reads the mirrors table, which k3s and containerd share.
func (d *draft) readMirrors(table cursor) []*foreignMirror {
	example := d.in.example(`endpoint: ["https://mirror.corp"]`, `endpoint = ["https://mirror.corp"]`)
	var all []*foreignMirror
	seen := map[string]bool{}
	for _, c := range table.all("the registry's name, and below it " + example) {
		upstream, err := hostsconf.ParseUpstream(c.name)
		switch {
		case err != nil:
			d.lose(c.loss("this is no name of a registry as it stands in image names: "+shown(err.Error()), "it never had an effect; write host[:port], docker.io for Docker Hub"))
			continue
		case seen[upstream]:
			d.lose(c.loss("the registry "+upstream+" is named twice", "only the first entry is used; put the endpoints into one"))
			continue
		}
		seen[upstream] = true
		m := &foreignMirror{at: c, upstream: upstream}
		if c.mapping(example) {
			d.unknown(c, "endpoint", "rewrite")
			for _, e := range c.get("endpoint").items(example) {
				d.readEndpoint(m, e)
			}
			d.rewrite(c.get("rewrite"), m)
		}
		all = append(all, m)
	}
	return all
}

func (d *draft) readEndpoint(m *foreignMirror, c cursor) {
	lose := func(err error) {
		d.lose(c.loss("the endpoint's address "+err.Error(), "images of "+m.name()+" are not looked for there"))
	}
	a, err := split(c.text())
	if err != nil {
		lose(err)
		return
	}
	e := endpoint{self: a.host == m.upstream}
	if a.scheme == "" {
		a.scheme = d.defaultScheme(a.host)
	}
	if a.tokenNeedsTLS() {
		a.scheme = "https"
		e.notes = append(e.notes, overTLS)
	}
	literal := a.path
	if d.format == Containerd && literal == "/" {
		e.notes = append(e.notes, "The slash at the end made containerd leave out /v2, where no registry answers. Here it does not.")
	}
	if a.ignored != "" {
		e.notes = append(e.notes, fmt.Sprintf("%s made no use of %s, and it is left out; a login belongs under registries.", d.format.program(), a.ignored))
	}
	if e.written, e.override, e.url, err = literalURL(a.scheme, a.host, literal); err != nil {
		lose(err)
		return
	}
	for _, other := range m.endpoints {
		if config.Requests(other.url) == config.Requests(e.url) {
			note := e.written + " stood here twice."
			if e.written != other.written {
				note = e.written + " is " + other.written + " again, and is left out."
			}
			if !slices.Contains(m.notes, note) {
				m.notes = append(m.notes, note)
			}
			return
		}
	}
	m.endpoints = append(m.endpoints, e)
}

// defaultScheme is what the program assumes for an endpoint without a scheme:
// k3s by normalizeEndpointAddress in pkg/agent/containerd/config.go, containerd
// by defaultScheme in its image_pull.go.
func (d *draft) defaultScheme(host string) string {
	port := hostport.Port(host)
	if !hostport.IsLoopback(host) || d.format == K3s && (port == "" || port == "443") {
		return "https"
	}
	return "http"
}

func (m *foreignMirror) name() string {
	if m.upstream == hostsconf.Default {
		return "every registry without an entry"
	}
	return m.upstream
}

// rewrite loses the rewrite rules of k3s' containerd, and says what they did.
func (d *draft) rewrite(c cursor, m *foreignMirror) {
	rules := c.all(d.in.example(`"^(.*)": "prefix/$1"`, `"^(.*)" = "prefix/$1"`))
	if len(rules) == 0 {
		return
	}
	sort.SliceStable(rules, func(i, j int) bool { return rules[i].name < rules[j].name })
	texts := make([]string, 0, len(rules))
	for _, r := range rules {
		texts = append(texts, fmt.Sprintf("%s to %s", strconv.Quote(shown(r.name)), strconv.Quote(shown(r.text()))))
		if len(texts) == 8 && len(rules) > 9 {
			texts = append(texts, fmt.Sprintf("and %d more", len(rules)-8))
			break
		}
	}
	effect := fmt.Sprintf("images of %s whose repository matches (%s) are now asked for under their own name at each endpoint", m.name(), strings.Join(texts, ", "))
	if prefix, ok := prefixRule(rules); ok {
		effect += fmt.Sprintf("; this rule only puts a prefix in front, so write it into the url of each endpoint, https://host/v2/%s without overridePath", prefix)
	} else {
		effect += "; copy these images in the registry to where they are asked for now"
	}
	d.lose(c.loss("containerd has no rewrite rules; only the one that k3s and RKE2 carry does", effect))
}

// prefixRule recognises the one rule that a prefix in the url can replace.
func prefixRule(rules []cursor) (prefix string, ok bool) {
	if len(rules) != 1 {
		return "", false
	}
	switch strings.TrimSuffix(strings.TrimPrefix(rules[0].name, "^"), "$") {
	case "(.*)", "(.+)":
	default:
		return "", false
	}
	prefix, ok = strings.CutSuffix(rules[0].text(), "/$1")
	if _, err := hostsconf.ParseURL("https://h/v2/"+prefix, false); err != nil || strings.Contains(prefix, "$") {
		return "", false
	}
	return prefix, ok && prefix != ""
}

// placeMirrors puts the mirrors into the draft. All of them ask the upstream
// behind their endpoints, as the programs do, except where an endpoint is the
// upstream itself.
func (d *draft) placeMirrors(all []*foreignMirror) {
	wildcard := false
	for _, m := range all {
		wildcard = wildcard || m.upstream == hostsconf.Default && len(m.endpoints) > 0
	}
	for _, m := range all {
		own := d.takeOwn(m)
		switch {
		case len(m.endpoints) > 0:
			// containerd does not ask the upstream again when an endpoint
			// has its name (registryEndpoints in image_pull.go).
			only := d.format == Containerd && !own && slices.ContainsFunc(m.endpoints, func(e endpoint) bool { return e.self })
			if only {
				m.notes = append(m.notes, "One endpoint is the registry itself, so containerd did not ask it once more at the end.")
			}
			d.addMirror(&mirror{upstream: m.upstream, endpoints: m.endpoints, notes: m.notes, only: only})
		case own:
			d.straight(m, wildcard)
		case d.format == K3s:
			d.lose(m.at.loss("no endpoint: with --embedded-registry k3s fetches these images from its other nodes (Spegel), which Berth does not",
				"images of "+m.name()+" come from the registry itself; without --embedded-registry the entry had no effect and nothing changes"))
		case m.upstream != hostsconf.Default:
			d.straight(m, wildcard)
		}
	}
}

// takeOwn removes a last endpoint that is the upstream itself: it is asked
// there anyway.
func (d *draft) takeOwn(m *foreignMirror) bool {
	if len(m.endpoints) == 0 || m.upstream == hostsconf.Default {
		return false
	}
	last := m.endpoints[len(m.endpoints)-1]
	plain := last.url.Scheme == "http"
	if last.url != hostsconf.UpstreamURL(m.upstream, plain) {
		return false
	}
	m.endpoints = m.endpoints[:len(m.endpoints)-1]
	m.notes = append(m.notes, last.notes...)
	if plain && !hostport.IsLoopback(m.upstream) {
		r := d.registry(m.upstream, m.at)
		r.plainHTTP = true
		if d.format == K3s {
			r.note("k3s tried https as well when http did not answer.")
		}
	}
	return true
}

// straight is for a registry whose entry made sure that it is asked itself,
// and not what "*" says.
func (d *draft) straight(m *foreignMirror, wildcard bool) {
	if d.through == nil {
		d.through = map[string]bool{}
	}
	d.through[m.upstream] = true
	if r := d.byHost[m.upstream]; r != nil {
		r.notes = append(r.notes, m.notes...)
		return
	}
	if !wildcard {
		d.note("%s names no endpoint but the registry itself, so nothing is needed for it.", m.at.path)
		return
	}
	r := d.registry(m.upstream, m.at)
	r.note(`Named so that the mirror for "*" leaves it alone, as the entry without other endpoints did.`)
	r.notes = append(r.notes, m.notes...)
}
