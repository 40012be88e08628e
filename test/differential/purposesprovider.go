package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// providerPurposes are about the credential provider's answers.
var providerPurposes = []purpose{
	{
		name: "index.docker.io", single: true,
		what: "index.docker.io/x is docker.io/library/x, as kubelet and containerd have it",
		is: func(c situation, d difference) bool {
			if strings.HasPrefix(d.name, atFile) && !strings.HasPrefix(d.name, atFile+"/run") || c.step.subject != "docker.io" {
				return false
			}
			if c.step.program == provider {
				return strings.Contains(c.step.stdin, "index.docker.io/") && c.did[older].stdout != c.did[newer].stdout
			}
			return c.did[older].values[atJSON+"|image"] != c.did[newer].values[atJSON+"|image"]
		},
	},
	{
		name: "rules that are true no longer", single: true,
		what: "a credential is withheld when another hosts.toml or config_path, or lost rules, decide who is asked (ADR 16)",
		is: func(c situation, d difference) bool {
			asks := c.step.program == provider || c.step.args[0] == "credentials"
			// Then no token is requested.
			unasked := d.vanished() && strings.HasPrefix(d.name, atFile+"/run")
			unasked = unasked || d.vanished() && d.name == atStderr+"text"
			return asks && (unasked || !strings.HasPrefix(d.name, atFile) && c.did[older].stdout != c.did[newer].stdout) && c.withheld() && c.stale(c.step.subject)
		},
	},
}

// anyStale is stale for any registry that has a directory in the rules.
func (c situation) anyStale() bool {
	return slices.ContainsFunc(c.did[newer].names(rulesJSON+"|directories["), func(name string) bool {
		return c.stale(subjectOf(name))
	})
}

// withheld reports that only the new version returns no credential.
func (c situation) withheld() bool {
	if c.step.program == provider {
		return c.did[newer].values[atExit] == "1" && c.did[newer].stdout == ""
	}
	given := func(o observation) bool { return o.values[atJSON+"|provider|password"] != "" }
	return !given(c.did[newer]) && c.did[newer].values[atJSON+"|provider|error"] != ""
}

// stale reports that containerd's files for a registry are not those that the new version's rules
// were made for. It reads the files independently of the provider.
func (c situation) stale(registry string) bool {
	values := c.did[newer].values
	dir := values[rulesJSON+"|certsDir"]
	if dir == "" || values[rulesJSON+"|missing"] == "true" {
		return true // there are no rules
	}
	for name, content := range values {
		// containerd's configuration names another directory.
		if strings.HasPrefix(name, atFile+"/etc/containerd/") && strings.HasSuffix(name, ".toml") && !strings.Contains(name, "/certs.d/") {
			if m := configPath.FindStringSubmatch(content); m != nil && m[1] != dir && m[1] != "" {
				return true
			}
		}
	}
	_, content, found := c.winner(newer, dir, registry)
	sum := sha256.Sum256([]byte(content))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	known := func(upstream string) []string {
		var all []string
		for _, name := range c.did[newer].names(fmt.Sprintf("%s|directories[%s]|files[", rulesJSON, upstream)) {
			all = append(all, values[name])
		}
		return all
	}
	files := known(registry)
	if len(c.did[newer].names(fmt.Sprintf("%s|directories[%s]", rulesJSON, registry))) == 0 {
		files = known("*")
	}
	if !found {
		return len(files) > 0
	}
	return !slices.Contains(files, digest)
}

var configPath = regexp.MustCompile(`config_path = "(.*)"`)

// winner returns the hosts.toml that containerd uses for a registry, and its directory.
func (c situation) winner(v int, certsDir, registry string) (dir, content string, found bool) {
	root := filepath.Join(c.dir, versions[v], node)
	for _, dir := range directoriesOf(certsDir, registry) {
		if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
			continue
		}
		info, err := os.Stat(filepath.Join(root, dir, "hosts.toml"))
		if err != nil || !info.Mode().IsRegular() {
			return dir, "", false
		}
		b, err := os.ReadFile(filepath.Join(root, dir, "hosts.toml"))
		return dir, string(b), err == nil
	}
	return "", "", false
}

// foreign reports that Berth did not write the hosts.toml of a registry.
func (c situation) foreign(v int, registry string) bool {
	dir := c.did[v].values[rulesJSON+"|certsDir"]
	if registry == "*" {
		registry = "_default"
	}
	at := directoriesOf(dir, registry)[0]
	for _, at := range append([]string{at}, path.Join(dir, registry)) {
		if content, ok := c.did[v].file(at + "/hosts.toml"); ok {
			return !strings.HasPrefix(content, "# Written by berth")
		}
		if mode, ok := c.did[v].values[atFile+at+"/hosts.toml"]; ok {
			return !strings.HasPrefix(mode, "-")
		}
	}
	return false
}

// plainHost matches a table on which containerd 1.6 and 1.7 crash if it has plain keys.
var plainHost = regexp.MustCompile(`(?m)^\s*\[\[?host\]`)

// crashes reports that a foreign hosts.toml may crash a containerd.
func (c situation) crashes() bool {
	return slices.ContainsFunc(c.did[newer].names(atFile), func(name string) bool {
		return inCertsDir.MatchString(name) && plainHost.MatchString(c.did[newer].values[name]) && !strings.Contains(c.did[newer].values[name], "# Written by berth")
	})
}

// moreHosts reports that the new rules list every host of the old ones for a registry and more, or
// each only once, or that its file cannot be read.
func (c situation) moreHosts(registry string) bool {
	hosts := func(v int) []string {
		var all []string
		for _, name := range c.did[v].names(fmt.Sprintf("%s|directories[%s]|hosts[", rulesJSON, registry)) {
			if strings.HasSuffix(name, "|host") {
				all = append(all, c.did[v].values[name])
			}
		}
		if c.did[v].values[fmt.Sprintf("%s|directories[%s]|andUpstream", rulesJSON, registry)] == "true" {
			all = append(all, registry)
		}
		return all
	}
	was, is := hosts(older), hosts(newer)
	if len(is) == len(was) && !slices.ContainsFunc(is, func(h string) bool { return !slices.Contains(was, h) }) {
		return false
	}
	if slices.ContainsFunc(is, func(h string) bool { return strings.HasPrefix(h, "(") }) {
		return true
	}
	for _, h := range was {
		if !slices.Contains(is, h) {
			return false
		}
	}
	return true
}
