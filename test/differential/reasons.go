package main

import (
	"fmt"
	"strings"
)

// sort finds the reason of each difference: a purpose, or an earlier difference that causes it. It
// reports whether the trial ends here.
func (t *trial) sort(c situation, all []difference) (ends bool) {
	tainted := t.tainted
	if c.step.alone {
		tainted = map[string]string{} // it does not concern the node
	}
	var rest []difference
	for _, d := range all {
		// The files of the node are compared again after each step.
		id := d.name + "\x00" + d.old + "\x00" + d.new
		if strings.HasPrefix(d.name, atFile) && t.known[id] {
			continue
		}
		t.known[id] = true
		p := purposeOf(c, d)
		if p == nil {
			rest = append(rest, d)
			continue
		}
		t.result.purposes[p.name]++
		if !p.single && (d.subject != "" || c.step.alone) {
			tainted[d.subject] = p.name
		}
		ends = ends || p.ends
	}
	for _, d := range rest {
		name := followsFrom(tainted, c, d)
		switch {
		case name != "":
			t.result.purposes[name]++
		case !ends:
			text := d.String()
			if d.name == atJSON+"|notices" {
				_, notices, _ := strings.Cut(c.did[newer].stdout, `"notices"`)
				text += fmt.Sprintf("\n    new %.400q", notices)
			}
			if d.name == atExit {
				text += fmt.Sprintf("\n    old stderr %.600q\n    new stderr %.600q", c.did[older].stderr, c.did[newer].stderr)
			}
			t.result.failures = append(t.result.failures, text)
		}
	}
	return ends
}

func purposeOf(c situation, d difference) *purpose {
	for i := range purposes {
		if purposes[i].is(c, d) {
			return &purposes[i]
		}
	}
	return nil
}

// sums are values that count other values, or that say that a text exists.
var sums = map[string]bool{
	atExit: true, atJSON + "|conflicts": true, atJSON + "|unchanged": true, atJSON + "|providerRules": true, atJSON + "|changes": true,
	atJSON + "|notices": true, atStderr + "error": true, atStderr + "text": true, atFile + stateDir + "/saved": true,
}

// followsFrom returns the purpose of an earlier difference that causes d: one about the same
// registry, or about any registry that a sum counts; "" if there is none.
func followsFrom(tainted map[string]string, c situation, d difference) string {
	if name := tainted[d.subject]; name != "" {
		return name
	}
	if d.subject == "_berth" { // certificates that some hosts.toml names
		for _, name := range tainted {
			return name
		}
	}
	// The token for the image of a step is requested by one version alone.
	token := strings.HasPrefix(d.name, atFile+"/run")
	if c.step.subject != "" && token && tainted[c.step.subject] != "" {
		return tainted[c.step.subject]
	}
	if c.step.subject != "" && (token || d.subject == c.step.subject) {
		// An image whose registry has no directory is pulled through _default.
		if name := tainted["*"]; name != "" {
			return name
		}
	}
	if c.step.alone && len(tainted) > 0 && (!strings.HasPrefix(d.name, atYAML+"|") || d.name == atYAML+"|apiVersion" || d.name == atYAML+"|kind") {
		for _, name := range tainted {
			return name
		}
	}
	if sums[d.name] && !(d.name == atExit && (d.old > "1" || d.new > "1")) {
		for _, name := range tainted {
			return name
		}
	}
	return ""
}
