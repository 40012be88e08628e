package convert

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config"
)

// width is the longest line of a comment, in characters.
const width = 90

// render writes the draft as YAML: a comment, apiVersion and kind, and a block for each section.
func (d *draft) render() ([]byte, error) {
	var out bytes.Buffer
	for _, line := range d.headComment() {
		out.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	head := block{}
	head.set("apiVersion", text(config.APIVersion))
	head.set("kind", text(config.Kind))
	sections := []block{head, d.mirrorsBlock(), d.defaultRegistryBlock(), d.registriesBlock(), d.ecrBlock(), d.proxyBlock(), d.containerdBlock()}
	for i, b := range sections {
		if len(b.node().Content) == 0 {
			continue
		}
		if i > 0 {
			out.WriteString("\n")
		}
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		encoder.CompactSeqIndent()
		if err := encoder.Encode(b.node()); err != nil {
			return nil, err
		}
		if err := encoder.Close(); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// headComment returns the lines of the comment at the top.
func (d *draft) headComment() []string {
	origin := map[Format]string{RKE: "RKE", K3s: "k3s, RKE2", Containerd: "containerd", Rancher: "Rancher", Docker: "Docker", CertsD: "hosts.toml"}[d.format]
	lines := wrap(fmt.Sprintf("RegistryConfig of Berth, converted from %s (%s). The comments say what differs.", d.in.name, origin), width-2)
	paragraph := func(text string) { lines = append(append(lines, ""), wrap(text, width-2)...) }
	for _, note := range d.notes {
		paragraph(note)
	}
	if d.hasSecrets() {
		paragraph("This file contains SECRETS: keep it at mode 0600. It is better to put each secret alone into its own file with mode 0600:")
		lines = append(lines, "", "  install -d -m 0700 "+d.secretsDir, "  install -m 0600 /dev/stdin "+d.secretsDir+"/NAME    # then type the secret and Ctrl-D", "")
		lines = append(lines, wrap("Then name the file here: passwordFile: "+d.secretsDir+"/NAME in place of password:. For AWS keys the fields are accessKeyIDFile, secretAccessKeyFile and sessionTokenFile.", width-2)...)
		if d.hasHeaders() {
			paragraph("Header values may be secrets too; they cannot be moved into files.")
		}
	}
	if d.proxyPassword() {
		paragraph("The address of a proxy contains a password, a SECRET that cannot be moved into a file of its own: keep this file at mode 0600.")
	}
	if len(d.lost) > 0 {
		paragraph("NOT CARRIED OVER:")
		for _, l := range d.lost {
			text := l.String()
			if l.File == "" {
				text = fmt.Sprintf("line %d: %s: %s; %s", l.Line, l.Field, l.What, l.Effect)
			}
			item := wrap(text+".", width-4)
			for i, line := range item {
				lines = append(lines, map[bool]string{true: "- ", false: "  "}[i == 0]+line)
			}
		}
	}
	return lines
}

func (d *draft) hasHeaders() bool {
	for _, m := range d.mirrors {
		for _, e := range m.endpoints {
			if len(e.headers) > 0 {
				return true
			}
		}
	}
	return false
}

func (d *draft) hasSecrets() bool {
	for _, r := range d.registries {
		if r.login != nil || r.keys != nil {
			return true
		}
	}
	for _, c := range d.ecr {
		if c.keys != nil {
			return true
		}
	}
	return d.hasHeaders()
}

func (d *draft) proxyPassword() bool {
	return slices.ContainsFunc(d.proxy, func(p proxySetting) bool { return strings.Contains(p.value.Reveal(), "@") })
}

func (d *draft) mirrorsBlock() block {
	var items []*yaml.Node
	for _, m := range d.mirrors {
		var endpoints []*yaml.Node
		for _, e := range m.endpoints {
			b := block{notes: e.notes}
			b.set("url", text(e.written))
			if e.override {
				b.set("overridePath", boolean(true))
			}
			if len(e.capabilities) > 0 {
				b.set("capabilities", flow(e.capabilities...))
			}
			if e.dialTimeout != "" {
				b.set("dialTimeout", text(e.dialTimeout))
			}
			if len(e.headers) > 0 {
				headers := block{}
				for _, h := range e.headers {
					var values []string
					for _, v := range h.values {
						values = append(values, v.Reveal())
					}
					headers.set(h.name, flow(values...))
				}
				b.set("headers", headers.node())
			}
			endpoints = append(endpoints, b.node())
		}
		b := block{notes: m.notes}
		b.set("upstream", text(m.upstream))
		b.set("endpoints", sequence(endpoints...))
		if m.only {
			b.set("upstreamFallback", boolean(false))
		}
		items = append(items, b.node())
	}
	return section("mirrors", items)
}

func (d *draft) defaultRegistryBlock() block {
	if d.defaultRegistry == nil {
		return block{}
	}
	b := block{}
	b.set("url", text(d.defaultRegistry.written))
	b.set("upstreamFallback", boolean(true))
	top := block{}
	top.set("defaultRegistry", b.node(), d.defaultRegistry.notes...)
	return top
}

func (d *draft) registriesBlock() block {
	var items []*yaml.Node
	for _, r := range d.registries {
		b := block{notes: r.notes}
		b.set("host", text(r.host))
		if r.login != nil {
			b.set("username", text(r.login.username))
			b.set("password", text(r.login.password.Reveal()))
		}
		if r.auth != "" {
			b.set("auth", text(string(r.auth)))
		}
		if r.keys != nil {
			static := block{}
			static.set("static", r.keys.node())
			chain := section("credentials", []*yaml.Node{static.node()})
			b.set("ecr", chain.node())
		}
		tls := block{}
		for _, f := range []struct{ name, path string }{{"caFile", r.tls.ca}, {"certFile", r.tls.cert}, {"keyFile", r.tls.key}} {
			if f.path != "" {
				tls.set(f.name, text(f.path))
			}
		}
		if r.tls.skipVerify {
			tls.set("insecureSkipVerify", boolean(true))
		}
		if len(tls.fields) > 0 {
			b.set("tls", tls.node())
		}
		if r.plainHTTP || r.overTLS {
			b.set("plainHTTP", boolean(r.plainHTTP))
		}
		if r.allowPlainHTTP {
			b.set("allowPlainHTTPCredentials", boolean(true))
		}
		items = append(items, b.node())
	}
	return section("registries", items)
}

func (d *draft) ecrBlock() block {
	var items []*yaml.Node
	for _, c := range d.ecr {
		b := block{notes: c.notes}
		if c.keys == nil {
			empty := (&block{}).node()
			empty.Style = yaml.FlowStyle
			b.set("instanceProfile", empty)
		} else {
			b.set("static", c.keys.node())
		}
		items = append(items, b.node())
	}
	if len(items) == 0 {
		return block{}
	}
	credentials := section("credentials", items)
	top := block{}
	top.set("ecr", credentials.node(), d.ecrNotes...)
	return top
}

func (k *awsKeys) node() *yaml.Node {
	b := block{}
	b.set("accessKeyID", text(k.id.Reveal()))
	b.set("secretAccessKey", text(k.secret.Reveal()))
	if !k.session.IsZero() {
		b.set("sessionToken", text(k.session.Reveal()))
	}
	return b.node()
}

func (d *draft) proxyBlock() block {
	if len(d.proxy) == 0 {
		return block{}
	}
	b := block{}
	for _, p := range d.proxy {
		b.set(p.name, text(p.value.Reveal()))
	}
	top := block{}
	top.set("proxy", b.node(), "containerd takes its proxy from the environment of its own service. Set it there as well; "+
		"this section tells Berth which proxy that is.")
	return top
}

func (d *draft) containerdBlock() block {
	if d.certsDir == "" {
		return block{}
	}
	b := block{}
	b.set("certsDir", text(d.certsDir))
	top := block{}
	top.set("containerd", b.node(), "The config_path of the input.")
	return top
}
