package main

import (
	"net"
	"regexp"
	"slices"
	"strings"
)

// situation is what a rule may use beside the difference itself.
type situation struct {
	*trial
	step   step
	at     int            // number of the step
	before [2]observation // of the node, after the step before
	did    [2]observation
}

// purpose is an intended change since 562c094.
type purpose struct {
	name string
	what string
	// is reports whether a difference comes from it.
	is func(c situation, d difference) bool
	// ends means that the versions diverge from here on: a config that only one of them accepts.
	ends bool
	// single means that it causes no other difference for the registry.
	single bool
}

// purposes are all intended changes. The first one that recognises a difference counts.
var purposes = slices.Concat(configPurposes, filePurposes, providerPurposes, convertPurposes)

// configPurposes are about the content of a RegistryConfig.
var configPurposes = []purpose{
	{
		name: "password of several lines", ends: true,
		what: "a passwordFile may hold several lines",
		is: func(c situation, d difference) bool {
			return c.accepted(d) && strings.HasSuffix(d.name, "passwordFile") && strings.Contains(c.step.config.files["password"], "\n}")
		},
	},
	{
		name: "relative paths", ends: true,
		what: "relative paths in a RegistryConfig begin in its directory",
		is: func(c situation, d difference) bool {
			return c.accepted(d) && strings.HasSuffix(d.name, "File") && strings.HasPrefix(c.step.config.path, "conf/")
		},
	},
	{
		name: "entries of a docker config", ends: true,
		what: "an entry of a docker config that cannot be used is a warning",
		is: func(c situation, d difference) bool {
			return c.accepted(d) && strings.HasSuffix(d.name, " dockerConfigFile")
		},
	},
	{
		name: "credentials of one registry", ends: true,
		what: "registries[].ecr.credentials: an ECR registry with an AWS identity of its own",
		is: func(c situation, d difference) bool {
			return c.accepted(d) && strings.HasSuffix(d.name, "].ecr") && strings.Contains(c.step.config.text, "ecr: {credentials:")
		},
	},
	{
		name: "warnings of names", single: true,
		what: "an upstream that is listed as its own mirror, and Docker's web site, are warned of",
		is: func(c situation, d difference) bool {
			return d.appeared() && strings.HasPrefix(d.name, atStderr+"warning") && (strings.HasSuffix(d.name, ".url") || d.name == atStderr+"warning") &&
				regexp.MustCompile(`registry-1\.docker\.io|quay\.io|reg\.corp:443|localhost:5000|127\.0\.0\.1`).MatchString(c.step.config.text)
		},
	},
}

// accepted reports that only the old version refuses the config of this step, at the place of d.
func (c situation) accepted(d difference) bool {
	return c.step.config != nil && d.vanished() && strings.HasPrefix(d.name, atStderr+"error ")
}

// filePurposes are about the files of the node.
var filePurposes = []purpose{
	{
		name: "rules know contents", single: true,
		what: "provider.json holds certsDir and the digests of hosts.toml files (ADR 16)",
		is: func(c situation, d difference) bool {
			return d.appeared() && strings.HasPrefix(d.name, rulesJSON+"|") &&
				(strings.HasSuffix(d.name, "|certsDir") || strings.Contains(d.name, "|files["))
		},
	},
	{
		name: "contents are compared", single: true,
		what: "plan and apply renew rules when a hosts.toml that is not Berth's has changed (ADR 16)",
		is: func(c situation, d difference) bool {
			if c.step.alone || c.step.args[0] != "plan" && c.step.args[0] != "apply" || c.did[older].values[atJSON+"|providerRules"] != "false" ||
				c.did[newer].values[atJSON+"|providerRules"] != "true" {
				return false
			}
			renewed := false
			for _, name := range sortedKeys(c.before[newer].values, c.did[newer].values) {
				renewed = renewed || strings.Contains(name, "|files[") && c.before[newer].values[name] != c.did[newer].values[name]
			}
			return (d.name == atJSON+"|providerRules" || d.name == atExit && c.step.args[0] == "plan") && (renewed || c.anyStale())
		},
	},
	{
		name: "registries on this machine",
		what: "a registry on this machine without a setting of its own gets no server line; an explicit plainHTTP is written",
		is: func(c situation, d difference) bool {
			if !loopback(d.subject) {
				return false
			}
			text := c.step.text()
			switch {
			case isChange(d):
				return c.did[newer].values[atJSON+"|changes["+d.subject+"]|action"] == "update" || d.oldThere && strings.Contains(text, `"*"`) || d.newThere && strings.Contains(text, "plainHTTP:")
			case !isHosts(d):
				return false
			case d.appeared():
				return strings.Contains(text, "plainHTTP:")
			}
			lines := serverLine
			if c.hasCertificates(newer, d.subject) {
				lines = both(lines, tlsLine) // see certificates of Docker's layout
			}
			if strings.Contains(text, "https://registry-1.docker.io") {
				lines = both(lines, settings) // see names of Docker Hub
			}
			if strings.Contains(text, "plainHTTP:") && without(rootCapabilities, d.old) == without(rootCapabilities, d.new) {
				return true
			}
			return without(lines, d.old) == without(lines, d.new) && serverLine.MatchString(d.old) && !serverLine.MatchString(d.new) ||
				d.vanished() && without(both(serverLine, loginLine), d.old) == ""
		},
	},
	{
		name: "certificates of Docker's layout",
		what: "certificates that are in certs.d already are named in hosts.toml",
		is: func(c situation, d difference) bool {
			if d.name == atJSON+"|notices" && d.appeared() {
				return c.hasCertificates(newer, "")
			}
			if !c.hasCertificates(newer, d.subject) {
				return false
			}
			return isChange(d) || isHosts(d) && (d.appeared() || without(tlsOrRoot, d.old) == without(tlsOrRoot, d.new) && dockerFile.MatchString(d.new))
		},
	},
	{
		name: "longest path of a login",
		what: "h.corp:443/team and h.corp are one host for every look-up of a login",
		is: func(c situation, d difference) bool {
			text := c.lastConfig()
			answers := d.name == atOutput || strings.HasPrefix(d.name, atJSON+"|hosts[") || strings.HasPrefix(d.name, atJSON+"|provider")
			login := answers && (c.step.subject == "reg.corp" || c.step.subject == "reg.corp:443") && (d.oldThere && d.newThere)
			return (login || isHosts(d) && without(loginLine, d.old) == without(loginLine, d.new)) &&
				strings.Contains(text, `- host: "reg.corp:443`) && regexp.MustCompile(`- host: "reg\.corp(/team)?"`).MatchString(text)
		},
	},
	{
		name: "names of Docker Hub",
		what: "what the config says of docker.io holds for its other names, such as a mirror https://registry-1.docker.io",
		is: func(c situation, d difference) bool {
			return isHosts(d) && strings.Contains(c.step.text(), "https://registry-1.docker.io") && strings.Contains(c.step.text(), "docker") &&
				without(settings, d.old) == without(settings, d.new)
		},
	},
	{
		name: "registries that take tokens only",
		what: "where the release is not known, a header for a registry that takes tokens does not count in the rules (ADR 20)",
		is: func(c situation, d difference) bool {
			at, header := strings.CutSuffix(d.name, "|header")
			header = header && d.vanished() && strings.HasPrefix(d.name, rulesJSON)
			if !header {
				at, header = strings.CutSuffix(d.name, "|channel")
				header = header && d.old == "header" && d.new == "provider"
			}
			host, _, _ := strings.Cut(c.did[newer].values[at+"|host"], "/")
			return header && slices.Contains([]string{"docker.io", "ghcr.io", "quay.io", "registry-1.docker.io"}, host)
		},
	},
	{
		name: "foreign files by release",
		what: "a foreign hosts.toml counts as every release of containerd reads it; one above 32 KiB is not read (ADR 17)",
		is: func(c situation, d difference) bool {
			if d.name == atJSON+"|notices" && d.appeared() {
				return c.crashes() // plan reports it
			}
			return strings.HasPrefix(d.name, rulesJSON+"|directories[") && c.foreign(newer, d.subject) && c.moreHosts(d.subject)
		},
	},
	{
		name: "rules after restore", single: true,
		what: "berth restore leaves rules that know nothing where kubelet is wired (and an empty directory, saved)",
		is: func(c situation, d difference) bool {
			ours := strings.HasPrefix(d.name, rulesJSON) || d.name == atFile+stateDir+"/saved"
			return d.appeared() && ours && c.step.args[0] == "restore" && c.did[newer].values[rulesJSON+"|missing"] == "true"
		},
	},
	{
		name: "credentials in plan", single: true,
		what: "plan lists the credentials that hosts gain, lose or get from another host",
		is: func(_ situation, d difference) bool {
			return d.appeared() && strings.HasPrefix(d.name, atJSON+"|credentials[")
		},
	},
	{
		name: "tokens of a shared credentials file", single: true,
		what: "a token got with the keys of a sharedCredentialsFile is named by that file, whose keys may change (ADR 26)",
		is: func(c situation, d difference) bool {
			named := strings.HasPrefix(d.name, atFile+tokenDir+"/ecr") && (d.appeared() || d.vanished()) && strings.Contains(c.lastConfig(), "sharedCredentialsFile:")
			// What AWS has said to these keys, under another name, is asked again.
			again := d.name == atStderr+"text" && d.appeared() && strings.HasPrefix(c.did[newer].stderr, `level=WARN msg="this source gave no ECR token"`)
			return named || again && slices.ContainsFunc(c.steps[:c.at], func(s step) bool { return strings.Contains(s.text(), "sharedCredentialsFile:") })
		},
	},
	{
		name: "identity tokens", single: true,
		what: "the identity token of a docker config is in provider.json, for docker-credential-berth",
		is: func(c situation, d difference) bool {
			at := strings.TrimRight(d.name, "abcdefghijklmnopqrstuvwxyz")
			told := strings.HasPrefix(d.name, rulesJSON+"|dockerConfig[") && c.did[newer].values[at+"username"] == "<token>"
			// Beside a mirror for "*" a registry with a login has a directory of its own.
			own := strings.Contains(d.name, "tok.corp") && strings.Contains(c.lastConfig(), `- upstream: "*"`)
			return d.appeared() && (told || own && strings.Contains(c.lastConfig(), "dockerConfigFile:"))
		},
	},
	{
		name: "a lock for each identity", single: true,
		what: "processes that ask AWS for different identities of a region do not wait for each other",
		is: func(_ situation, d difference) bool {
			return d.appeared() && strings.HasPrefix(d.name, atFile+tokenDir+"/") && strings.HasSuffix(d.name, ".lock")
		},
	},
	{
		name: "logins that were not probed", single: true,
		what: "plan says which logins are sent to registries that were not asked what they take",
		is: func(c situation, d difference) bool {
			return d.name == atJSON+"|notices" && d.appeared() && regexp.MustCompile(`username:|\.dkr\.ecr\.|dockerConfigFile|account:`).MatchString(c.step.text())
		},
	},
	{
		name: "tokens that AWS does not issue", ends: true,
		what: "a token file with an expiry beyond a week is set aside",
		is: func(c situation, d difference) bool {
			return c.unbelievable() && (strings.HasPrefix(d.name, atFile+tokenDir) || isHosts(d) && without(loginLine, d.old) == without(loginLine, d.new) ||
				strings.Contains(c.step.stdin, ".dkr.ecr.") || isChange(d) || strings.HasPrefix(d.name, atJSON+"|hosts["))
		},
	},
	{
		name: "directories that others may write to", ends: true,
		what: "/var/lib/berth and the token directory are refused when others may write to them",
		is: func(c situation, d difference) bool {
			return slices.ContainsFunc(c.layout.entries, func(e entry) bool {
				return e.mode.IsDir() && e.mode.Perm() == 0o777 && (e.path == stateDir || e.path == tokenDir)
			})
		},
	},
}

// rootCapabilities are those of the server.
var rootCapabilities = regexp.MustCompile(`(?m)^capabilities = .*\n`)

const rulesJSON = atFile + stateDir + "/provider.json"

var (
	serverLine = regexp.MustCompile(`(?m)^server = .*\n`)
	tlsLine    = regexp.MustCompile(`(?m)^\s*(ca|client) = .*\n`)
	loginLine  = regexp.MustCompile(`(?m)^-rw-------\n|^-rw-r--r--\n|^\s*\[host\..*\.header\]\n|^\[header\]\n|^\s*Authorization = .*\n`)
	tlsOrRoot  = both(tlsLine, rootCapabilities)
	settings   = both(both(loginLine, tlsLine), regexp.MustCompile(`(?m)^\s*skip_verify = .*\n`))
	dockerFile = regexp.MustCompile(`(?m)^\s*(ca|client) = .*\.(crt|cert|key)"`)
	markerLine = regexp.MustCompile(`(?m)^# Written by berth.*\n`)
	emptyLine  = regexp.MustCompile(`(?m)^\s*\n`)
)

func both(a, b *regexp.Regexp) *regexp.Regexp {
	return regexp.MustCompile("(?:" + a.String() + ")|(?:" + b.String() + ")")
}

// without returns a file of ours without some lines and its first line. If the lines contain a
// login, the mode is removed too.
func without(lines *regexp.Regexp, file string) string {
	for _, r := range []*regexp.Regexp{markerLine, lines, emptyLine} {
		file = r.ReplaceAllString(file, "")
	}
	return file
}

func isHosts(d difference) bool {
	return strings.HasPrefix(d.name, atFile) && strings.HasSuffix(d.name, "/hosts.toml") && !strings.Contains(d.name, "|")
}

func isChange(d difference) bool { return strings.HasPrefix(d.name, atJSON+"|changes[") }

func loopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// text returns the config of a step, "" for none.
func (s step) text() string {
	if s.config == nil {
		return ""
	}
	return s.config.text
}

// lastConfig returns the current config of the node, "" before there is one.
func (c situation) lastConfig() string {
	text := ""
	for i, s := range c.steps {
		if i <= c.at && s.config != nil {
			text = s.config.text
		}
	}
	return text
}

// hasCertificates reports certificates in Docker's layout in the directories in which containerd
// looks for a registry, "" for any.
func (c situation) hasCertificates(v int, registry string) bool {
	for name := range c.did[v].values {
		m := inCertsDir.FindStringSubmatch(name)
		if m != nil && (registry == "" || upstreamOf(m[1]) == registry || m[1] == "_default") && (strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".cert")) {
			return true
		}
	}
	return false
}

// unbelievable reports a token in the layout that AWS does not issue.
func (c situation) unbelievable() bool {
	return slices.ContainsFunc(c.layout.entries, func(e entry) bool {
		return strings.HasPrefix(e.path, tokenDir) && strings.Contains(e.content, `"kept.`) && e.longLived
	})
}
