package trace

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// verdictOf decides which host serves, from the answers of all hosts. It is a pure function.
func verdictOf(r *Report) Verdict {
	i := unknown(r.Hosts)
	if i < 0 {
		return knownVerdict(r)
	}
	h, rest := r.Hosts[i], *r
	rest.Hosts = slices.DeleteFunc(slices.Clone(r.Hosts), func(h Host) bool { return h.Resolve.Unknown || h.Content.Unknown || h.Layer.Unknown })
	why := cmp.Or(unknownDetail(h.Resolve), unknownDetail(h.Content), unknownDetail(h.Layer))
	return Verdict{Unknown: true, Text: fmt.Sprintf("it is unknown whether %s serves it: %s; without it, %s", name(h), why, knownVerdict(&rest).Text)}
}

// unknown finds the host whose unknown answer decides who serves; -1 if there is none.
func unknown(hosts []Host) int {
	for _, of := range []func(Host) Probe{
		func(h Host) Probe { return h.Resolve }, func(h Host) Probe { return h.Content }, func(h Host) Probe { return h.Layer },
	} {
		for i, h := range hosts {
			if p := of(h); p.Unknown {
				return i
			} else if p.OK || p.Final {
				break
			}
		}
	}
	return -1
}

func unknownDetail(p Probe) string {
	if !p.Unknown {
		return ""
	}
	return p.Detail
}

// knownVerdict is verdictOf if every answer is known.
func knownVerdict(r *Report) Verdict {
	resolver, stopped := first(r.Hosts, func(h Host) Probe { return h.Resolve })
	if resolver < 0 {
		return Verdict{Text: refusal(r.Hosts, stopped, func(h Host) Probe { return h.Resolve })}
	}
	v := Verdict{Resolver: name(r.Hosts[resolver])}
	if source, stopped := first(r.Hosts, func(h Host) Probe { return h.Content }); source < 0 {
		v.Text = fmt.Sprintf("%s resolves it, but no host serves the manifest: %s", v.Resolver, reasons(r.Hosts, stopped, func(h Host) Probe { return h.Content }))
		return v
	}
	server, stopped := first(r.Hosts, func(h Host) Probe { return h.Layer })
	if server < 0 {
		v.Text = fmt.Sprintf("%s resolves it, but no host serves a layer: %s", v.Resolver, reasons(r.Hosts, stopped, func(h Host) Probe { return h.Layer }))
		return v
	}
	v.Serves, v.Host = true, name(r.Hosts[server])
	v.Text = served(r.Hosts, resolver, server, v)
	return v
}

func served(hosts []Host, resolver, server int, v Verdict) string {
	who := v.Host
	if hosts[server].Itself {
		who += ", the registry itself,"
	}
	text := who + " will serve it"
	if resolver != server {
		text += fmt.Sprintf(", after %s has resolved it", v.Resolver)
	}
	var passed, slow []string
	for _, h := range hosts[:server] {
		p := h.Layer
		if !h.Resolve.OK && h.Resolve.Detail != "" {
			p = h.Resolve
		}
		passed = append(passed, fmt.Sprintf("%s does not: %s", name(h), p.Detail))
		if h.Resolve.waits || h.Layer.waits {
			slow = append(slow, slowness(h))
		}
	}
	if len(passed) > 0 {
		text += "; " + strings.Join(passed, "; ")
	}
	if len(slow) > 0 {
		text += "; each request waits for " + strings.Join(slow, ", then for ")
	}
	return text
}

// slowness says how long each request waits for a host.
func slowness(h Host) string {
	wait := cmp.Or(h.Resolve.wait, h.Layer.wait)
	if wait == 0 {
		return fmt.Sprintf("%s first, for its dial_timeout or 30s", name(h))
	}
	return fmt.Sprintf("%s first, for %s", name(h), wait)
}

// first finds the first host with a good answer. stopped is the host at which containerd gives up,
// or -1.
func first(hosts []Host, of func(Host) Probe) (found, stopped int) {
	for i, h := range hosts {
		switch p := of(h); {
		case p.OK:
			return i, -1
		case p.Final:
			return -1, i
		}
	}
	return -1, -1
}

func refusal(hosts []Host, stopped int, of func(Host) Probe) string {
	return "no host will serve it: " + reasons(hosts, stopped, of)
}

func reasons(hosts []Host, stopped int, of func(Host) Probe) string {
	var all []string
	for i, h := range hosts {
		if stopped >= 0 && i > stopped {
			break
		}
		why := of(h).Detail
		if why == "" {
			continue
		}
		all = append(all, name(h)+": "+why)
	}
	if stopped >= 0 && stopped < len(hosts)-1 {
		all = append(all, "the pull ends here, and no other host is asked")
	}
	if len(all) == 0 {
		return "there is none"
	}
	return strings.Join(all, "; ")
}

// name is the host[:port] of a host.
func name(h Host) string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return h.URL
	}
	return u.Host
}
