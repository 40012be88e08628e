package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// difference is one value that differs between the versions.
type difference struct {
	step     string // the command, for people
	name     string // of the value, as observation has it
	old, new string
	// oldThere and newThere report which version has the value.
	oldThere, newThere bool
	// subject is the registry of the value, as in image names, "*" for the _default directory, ""
	// for none.
	subject string
}

func (d difference) String() string {
	show := func(there bool, value string) string {
		if !there {
			return "(absent)"
		}
		return fmt.Sprintf("%.400q", value)
	}
	return fmt.Sprintf("%s: %s\n    old %s\n    new %s", d.step, d.name, show(d.oldThere, d.old), show(d.newThere, d.new))
}

// appeared and vanished report that only one version has the value.
func (d difference) appeared() bool { return !d.oldThere && d.newThere }
func (d difference) vanished() bool { return d.oldThere && !d.newThere }

// compare returns the differences of two observations of one step.
func compare(s step, before, after observation) []difference {
	var all []difference
	for _, name := range sortedKeys(before.values, after.values) {
		d := difference{step: s.String(), name: name, subject: subjectOf(name)}
		d.old, d.oldThere = before.values[name]
		d.new, d.newThere = after.values[name]
		if d.oldThere == d.newThere && d.old == d.new {
			continue
		}
		if d.subject == "" && !strings.HasPrefix(name, atFile) {
			d.subject = s.subject
		}
		all = append(all, d)
	}
	return all
}

// inCertsDir matches the directory below a certs.d in the name of a value.
var inCertsDir = regexp.MustCompile(`/(?:certs\.d|hosts)/([^/|]+)`)

// inSaved matches it in the name of a copy that Berth keeps.
var inSaved = regexp.MustCompile(`/saved/\w*?(?:certs\.d|hosts)_(.+)_hosts\.toml\.`)

// inList matches the registry of a value in a config or in the credential provider's rules.
var inList = regexp.MustCompile(`\|(?:directories|mirrors|registries|changes|skipped)\[([^|]*)\](?:\||$)`)

// subjectOf returns the registry of a value.
func subjectOf(name string) string {
	if m := inSaved.FindStringSubmatch(name); m != nil {
		return upstreamOf(m[1])
	}
	if m := inCertsDir.FindStringSubmatch(name); m != nil {
		return upstreamOf(m[1])
	}
	if m := inList.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// withPort matches a directory for a registry with a port.
var withPort = regexp.MustCompile(`^(.+)_(\d+)_$`)

// upstreamOf returns the registry of a directory below certs.d.
func upstreamOf(dir string) string {
	if dir == "_default" {
		return "*"
	}
	if m := withPort.FindStringSubmatch(dir); m != nil {
		return m[1] + ":" + m[2]
	}
	return dir
}

// directoriesOf returns the directories in which containerd looks for a registry, in its order.
func directoriesOf(certsDir, registry string) []string {
	first := registry
	if i := strings.LastIndexByte(registry, ':'); i > 0 && !strings.HasSuffix(registry, "]") {
		first = registry[:i] + "_" + registry[i+1:] + "_"
	}
	all := []string{path.Join(certsDir, first)}
	if first != registry {
		all = append(all, path.Join(certsDir, registry))
	}
	return append(all, path.Join(certsDir, "_default"))
}
