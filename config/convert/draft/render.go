package draft

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

// Render writes the draft as YAML: a comment, apiVersion and kind, and a block for each section.
func (d *Draft) Render() ([]byte, error) {
	var out bytes.Buffer
	for _, line := range d.headComment() {
		out.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	head := block{}
	head.set("apiVersion", text(config.APIVersion))
	head.set("kind", text(config.Kind))
	sections := []block{head, d.mirrorsBlock(), d.defaultRegistryBlock(), d.registriesBlock(),
		d.ecrBlock(), d.proxyBlock(), d.containerdBlock()}
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
func (d *Draft) headComment() []string {
	origin := map[Format]string{RKE: "RKE", K3s: "k3s, RKE2", Containerd: "containerd",
		Rancher: "Rancher", Docker: "Docker", CertsD: "hosts.toml"}[d.Format]
	lines := wrap(fmt.Sprintf("RegistryConfig of Berth, converted from %s (%s). The comments say "+
		"what differs.", d.In.Name, origin), width-2)
	paragraph := func(text string) { lines = append(append(lines, ""), wrap(text, width-2)...) }
	for _, note := range d.Notes {
		paragraph(note)
	}
	if d.hasSecrets() {
		paragraph("This file contains SECRETS: keep it at mode 0600. It is better to put each " +
			"secret alone into its own file with mode 0600:")
		lines = append(lines, "", "  install -d -m 0700 "+d.SecretsDir,
			"  install -m 0600 /dev/stdin "+d.SecretsDir+
				"/NAME    # then type the secret and Ctrl-D", "")
		lines = append(lines, wrap("Then name the file here: passwordFile: "+d.SecretsDir+
			"/NAME in place of password:. For AWS keys the fields are accessKeyIDFile, "+
			"secretAccessKeyFile and sessionTokenFile.", width-2)...)
		if d.hasHeaders() {
			paragraph("Header values may be secrets too; they cannot be moved into files.")
		}
	}
	if d.proxyPassword() {
		paragraph("The address of a proxy contains a password, a SECRET that cannot be moved " +
			"into a file of its own: keep this file at mode 0600.")
	}
	if len(d.Lost) > 0 {
		paragraph("NOT CARRIED OVER:")
		for _, l := range d.Lost {
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

func (d *Draft) hasHeaders() bool {
	for _, m := range d.Mirrors {
		for _, e := range m.Endpoints {
			if len(e.Headers) > 0 {
				return true
			}
		}
	}
	return false
}

func (d *Draft) hasSecrets() bool {
	for _, r := range d.Registries {
		if r.Login != nil || r.Keys != nil {
			return true
		}
	}
	for _, c := range d.ECR {
		if c.Keys != nil {
			return true
		}
	}
	return d.hasHeaders()
}

func (d *Draft) proxyPassword() bool {
	return slices.ContainsFunc(d.Proxy,
		func(p ProxySetting) bool { return strings.Contains(p.Value.Reveal(), "@") })
}

func (d *Draft) mirrorsBlock() block {
	var items []*yaml.Node
	for _, m := range d.Mirrors {
		var endpoints []*yaml.Node
		for _, e := range m.Endpoints {
			b := block{notes: e.Notes}
			b.set("url", text(e.Written))
			if e.Override {
				b.set("overridePath", boolean(true))
			}
			if len(e.Capabilities) > 0 {
				b.set("capabilities", flow(e.Capabilities...))
			}
			if e.DialTimeout != "" {
				b.set("dialTimeout", text(e.DialTimeout))
			}
			if len(e.Headers) > 0 {
				headers := block{}
				for _, h := range e.Headers {
					var values []string
					for _, v := range h.Values {
						values = append(values, v.Reveal())
					}
					headers.set(h.Name, flow(values...))
				}
				b.set("headers", headers.node())
			}
			endpoints = append(endpoints, b.node())
		}
		b := block{notes: m.Notes}
		b.set("upstream", text(m.Upstream))
		b.set("endpoints", sequence(endpoints...))
		if m.Only {
			b.set("upstreamFallback", boolean(false))
		}
		items = append(items, b.node())
	}
	return section("mirrors", items)
}

func (d *Draft) defaultRegistryBlock() block {
	if d.DefaultRegistry == nil {
		return block{}
	}
	b := block{}
	b.set("url", text(d.DefaultRegistry.Written))
	b.set("upstreamFallback", boolean(true))
	top := block{}
	top.set("defaultRegistry", b.node(), d.DefaultRegistry.Notes...)
	return top
}

func (d *Draft) registriesBlock() block {
	var items []*yaml.Node
	for _, r := range d.Registries {
		b := block{notes: r.Notes}
		b.set("host", text(r.Host))
		if r.Login != nil {
			b.set("username", text(r.Login.Username))
			b.set("password", text(r.Login.Password.Reveal()))
		}
		if r.Auth != "" {
			b.set("auth", text(string(r.Auth)))
		}
		if r.Keys != nil {
			static := block{}
			static.set("static", r.Keys.node())
			chain := section("credentials", []*yaml.Node{static.node()})
			b.set("ecr", chain.node())
		}
		tls := block{}
		for _, f := range []struct{ name, path string }{
			{"caFile", r.TLS.CA}, {"certFile", r.TLS.Cert}, {"keyFile", r.TLS.Key},
		} {
			if f.path != "" {
				tls.set(f.name, text(f.path))
			}
		}
		if r.TLS.SkipVerify {
			tls.set("insecureSkipVerify", boolean(true))
		}
		if len(tls.fields) > 0 {
			b.set("tls", tls.node())
		}
		if r.PlainHTTP || r.OverTLS {
			b.set("plainHTTP", boolean(r.PlainHTTP))
		}
		if r.AllowPlainHTTP {
			b.set("allowPlainHTTPCredentials", boolean(true))
		}
		items = append(items, b.node())
	}
	return section("registries", items)
}

func (d *Draft) ecrBlock() block {
	var items []*yaml.Node
	for _, c := range d.ECR {
		b := block{notes: c.Notes}
		if c.Keys == nil {
			empty := (&block{}).node()
			empty.Style = yaml.FlowStyle
			b.set("instanceProfile", empty)
		} else {
			b.set("static", c.Keys.node())
		}
		items = append(items, b.node())
	}
	if len(items) == 0 {
		return block{}
	}
	credentials := section("credentials", items)
	top := block{}
	top.set("ecr", credentials.node(), d.ECRNotes...)
	return top
}

func (k *AWSKeys) node() *yaml.Node {
	b := block{}
	b.set("accessKeyID", text(k.ID.Reveal()))
	b.set("secretAccessKey", text(k.Secret.Reveal()))
	if !k.Session.IsZero() {
		b.set("sessionToken", text(k.Session.Reveal()))
	}
	return b.node()
}

func (d *Draft) proxyBlock() block {
	if len(d.Proxy) == 0 {
		return block{}
	}
	b := block{}
	for _, p := range d.Proxy {
		b.set(p.Name, text(p.Value.Reveal()))
	}
	top := block{}
	top.set("proxy", b.node(), "containerd takes its proxy from the environment of its own "+
		"service. Set it there as well; "+
		"this section tells Berth which proxy that is.")
	return top
}

func (d *Draft) containerdBlock() block {
	if d.CertsDir == "" {
		return block{}
	}
	b := block{}
	b.set("certsDir", text(d.CertsDir))
	top := block{}
	top.set("containerd", b.node(), "The config_path of the input.")
	return top
}
