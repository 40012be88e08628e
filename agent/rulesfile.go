package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/ownedfile"
)

// rulesName is the file that tells the credential provider of the config. It
// lies in Berth's own directory.
var rulesName = path.Base(credprovider.RulesFile)

// rules says what the provider has to know, given what stands in certs.d now
// and what changes puts there.
func (m *Machine) rules(cfg *config.Config, plan Plan, changes []ownedfile.Change) credprovider.Rules {
	rules := rulesOf(cfg)
	others := hostsconf.Others(m.root.Path(cfg.Containerd.CertsDir), changes, plan.current)
	rules.Directories = ruleDirectories(cfg, plan.Desired.Installed(changes), others)
	return rules
}

// carriedOut gives the changes with those that did not happen as conflicts:
// something else stands there.
func carriedOut(changes []ownedfile.Change, report ownedfile.Report) []ownedfile.Change {
	done := make(map[string]bool, len(report.Changed))
	for _, c := range report.Changed {
		done[c.Path] = true
	}
	all := slices.Clone(changes)
	for i, c := range all {
		if c.Action != ownedfile.Unchanged && !done[c.Path] {
			all[i].Action = ownedfile.Conflict
		}
	}
	return all
}

// rulesDiffer reports whether the rules file says something else.
func (m *Machine) rulesDiffer(rules credprovider.Rules) (bool, error) {
	want, err := rules.Encode()
	if err != nil {
		return false, err
	}
	have, err := m.root.ReadFile(credprovider.RulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return !bytes.Equal(have, want), err
}

// writeRules brings the rules file up to date and reports whether it had to.
func (m *Machine) writeRules(rules credprovider.Rules) (bool, error) {
	differ, err := m.rulesDiffer(rules)
	if err != nil || !differ {
		return false, err
	}
	body, err := rules.Encode()
	if err != nil {
		return false, err
	}
	return true, m.store.WritePrivate(rulesName, body)
}

// guardRules writes rules that hold before and after certs.d changes.
func (m *Machine) guardRules(cfg *config.Config, plan Plan) error {
	rules := m.rules(cfg, plan, plan.Changes)
	old, err := m.root.ReadFile(credprovider.RulesFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		// What cannot be read, the provider cannot read either.
		if before, err := credprovider.ParseRules(old); err == nil {
			rules.Directories = eitherWay(before.Directories, rules.Directories)
		}
	}
	_, err = m.writeRules(rules)
	return err
}
