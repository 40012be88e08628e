package main

import (
	"maps"
	"strings"
)

// damage is one change to the new version's results. It reports whether there was a value to
// change.
type damage struct {
	what string
	make func(values map[string]string) bool
}

// change alters the first value, by name, that fits.
func change(fits func(name, value string) bool, to func(value string) string) func(map[string]string) bool {
	return func(values map[string]string) bool {
		for _, name := range sortedKeys(values, nil) {
			if fits(name, values[name]) {
				values[name] = to(values[name])
				return true
			}
		}
		return false
	}
}

// files matches regular files that are compared as a whole.
func files(name, value string) bool {
	return strings.HasPrefix(name, atFile) && !strings.Contains(name, "|") && strings.HasPrefix(value, "-") && strings.Contains(value, "\n")
}

// damages are the changes that every comparison must find.
var damages = []damage{
	{"one byte more in a file", change(files, func(v string) string { return v + "x" })},
	{"another mode of a file", change(files, func(v string) string { return "-rw-rw-rw-" + v[len("-rw-rw-rw-"):] })},
	{"another exit code", change(func(name, _ string) bool { return name == atExit }, func(v string) string { return v + "0" })},
	{"another value in the JSON", change(func(name, v string) bool {
		return strings.HasPrefix(name, atJSON+"|") && v != "present"
	}, func(v string) string { return v + "x" })},
	{"another value in a file of Berth", change(func(name, v string) bool {
		return strings.HasPrefix(name, atFile) && strings.Contains(name, "|") && v != "present"
	}, func(v string) string { return v + "x" })},
	{"another value in what convert prints", change(func(name, _ string) bool { return strings.HasPrefix(name, atYAML) }, func(v string) string { return v + "x" })},
	{"another answer of the provider", change(func(name, v string) bool { return name == atOutput && v != "" }, func(v string) string { return v[1:] })},
	{"a file more", func(values map[string]string) bool {
		values[atFile+"/etc/more"] = "-rw-r--r--\n"
		return true
	}},
	{"a file less", func(values map[string]string) bool {
		for _, name := range sortedKeys(values, nil) {
			if files(name, values[name]) {
				delete(values, name)
				return true
			}
		}
		return false
	}},
	{"a warning more", func(values map[string]string) bool {
		values[atStderr+"warning config.yaml:99:1 kind"] = "present"
		return true
	}},
}

// tryDamages damages the new version's results of a step in which the versions agreed. A difference
// that is found in a damaged result is no failure of the trial. A purpose may hide a damage, on a
// node that it applies to; see summarize.
func (t *trial) tryDamages(c situation) {
	if len(t.tainted) > 0 && !c.step.alone || len(compare(c.step, c.did[older], c.did[newer])) > 0 {
		return
	}
	for _, d := range damages {
		broken := c
		broken.did[newer].values = maps.Clone(c.did[newer].values)
		if !d.make(broken.did[newer].values) {
			continue
		}
		seen := &trial{tainted: map[string]string{}, known: map[string]bool{}, result: result{purposes: map[string]int{}}}
		seen.layout, seen.dir = t.layout, t.dir
		broken.trial = seen
		t.result.damaged[d.what]++
		seen.sort(broken, compare(c.step, broken.did[older], broken.did[newer]))
		if len(seen.result.failures) == 0 {
			t.result.missed[d.what]++
		}
	}
}
