package main

import (
	"net"
	"regexp"
	"slices"
	"strings"
)

// situation is what a rule may look at beside the difference itself.
type situation struct {
	*trial
	step   step
	at     int            // number of the step
	before [2]observation // of the node, after the step before
	did    [2]observation
}

// purpose is something that was changed on purpose since 562c094.
type purpose struct {
	name string
	what string
	// is recognises a difference that comes from it.
	is func(c situation, d difference) bool
	// ends says that the versions go different ways from here on: a config that
	// only one of them takes.
	ends bool
	// single says that nothing follows from it for the registry.
	single bool
}

// purposes are all differences that were made on purpose. The first one that
// recognises a difference counts.
var purposes = slices.Concat(configPurposes, filePurposes, providerPurposes, convertPurposes)

// configPurposes are about what a RegistryConfig may say.
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
		name: "places of mistakes", single: true,
		what: "a mistake is reported with a remedy, at the place where it is made",
		is: func(c situation, d difference) bool {
			bad := func(o observation) bool { return o.values[atExit] != "0" && len(o.names(atStderr+"error ")) > 0 }
			return strings.HasPrefix(d.name, atStderr+"error ") && bad(c.did[older]) && bad(c.did[newer])
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

// accepted says that only the old version refuses the config of this step, at the
// place that d is about.
func (c situation) accepted(d difference) bool {
	return c.step.config != nil && d.vanished() && strings.HasPrefix(d.name, atStderr+"error ")
}

// filePurposes are about what is on the node.
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
		name: "registries on this machine",
		what: "a registry on this machine without a setting of its own gets no server line; an explicit plainHTTP is written",
		is: func(c situation, d difference) bool {
			if !loopback(d.subject) {
				return false
			}
			text := c.step.text()
			switch {
			case isChange(d):
				return d.oldThere && strings.Contains(text, `"*"`) || d.newThere && strings.Contains(text, "plainHTTP:")
			case !isHosts(d):
				return false
			case d.appeared():
				return strings.Contains(text, "plainHTTP:")
			}
			return without(serverLine, d.old) == without(serverLine, d.new) && serverLine.MatchString(d.old) && !serverLine.MatchString(d.new) ||
				d.vanished() && without(serverLine, d.old) == ""
		},
	},
	{
		name: "certificates of Docker's layout",
		what: "certificates that are in certs.d already are named in hosts.toml",
		is: func(c situation, d difference) bool {
			return isHosts(d) && (d.appeared() || without(tlsLine, d.old) == without(tlsLine, d.new)) && dockerFile.MatchString(d.new) ||
				isChange(d) && c.hasCertificates(newer)
		},
	},
	{
		name: "longest path of a login",
		what: "h.corp:443/team and h.corp are one host for every look-up of a login",
		is: func(c situation, d difference) bool {
			text := c.step.text()
			return isHosts(d) && without(loginLine, d.old) == without(loginLine, d.new) &&
				strings.Contains(text, `- host: "reg.corp:443`) && regexp.MustCompile(`- host: "reg\.corp(/team)?"`).MatchString(text)
		},
	},
	{
		name: "names of Docker Hub",
		what: "what the config says of docker.io holds for its other names, such as a mirror https://registry-1.docker.io",
		is: func(c situation, d difference) bool {
			settings := regexp.MustCompile(loginLine.String() + "|" + tlsLine.String() + `|(?m)^\s*skip_verify = .*\n`)
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
			return strings.HasPrefix(d.name, rulesJSON+"|directories[") && c.foreign(newer, d.subject) && c.moreHosts(d.subject)
		},
	},
	{
		name: "rules after restore", single: true,
		what: "berth restore leaves rules that know nothing where kubelet is wired",
		is: func(c situation, d difference) bool {
			return d.appeared() && strings.HasPrefix(d.name, rulesJSON) && c.step.args[0] == "restore" && c.did[newer].values[rulesJSON+"|missing"] == "true"
		},
	},
	{
		name: "logins that were not probed", single: true,
		what: "plan says which logins are sent to registries that were not asked what they take",
		is: func(c situation, d difference) bool {
			return d.name == atJSON+"|notices" && d.appeared() && regexp.MustCompile(`username:|\.dkr\.ecr\.|dockerConfigFile|images\.corp`).MatchString(c.step.text())
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

const rulesJSON = atFile + stateDir + "/provider.json"

var (
	serverLine = regexp.MustCompile(`(?m)^server = .*\n`)
	tlsLine    = regexp.MustCompile(`(?m)^\s*(ca|client) = .*\n`)
	loginLine  = regexp.MustCompile(`(?m)^\s*\[host\..*\.header\]\n|^\[header\]\n|^\s*Authorization = .*\n`)
	dockerFile = regexp.MustCompile(`(?m)^\s*(ca|client) = .*\.(crt|cert|key)"`)
	markerLine = regexp.MustCompile(`(?m)^# Written by berth.*\n`)
	modeLine   = regexp.MustCompile(`^-\S+\n`)
	emptyLine  = regexp.MustCompile(`(?m)^\s*\n`)
)

// without gives a file of ours less some lines, and less its mode and first line.
func without(lines *regexp.Regexp, file string) string {
	for _, r := range []*regexp.Regexp{modeLine, markerLine, lines, emptyLine} {
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

// text is the config of a step, "" for none.
func (s step) text() string {
	if s.config == nil {
		return ""
	}
	return s.config.text
}

// hasCertificates reports certificates in the Docker layout somewhere in certs.d.
func (c situation) hasCertificates(v int) bool {
	for name := range c.did[v].values {
		if inCertsDir.MatchString(name) && (strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".cert")) {
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
