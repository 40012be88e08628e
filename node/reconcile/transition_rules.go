package reconcile

import (
	"errors"
	"io/fs"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/desired"
)

// transitionRules returns rules that are right before and after certs.d changes, foreign files
// included.
func (n *Node) transitionRules(cfg *config.Config, plan Plan) (credprovider.Rules, error) {
	before, err := n.rules(cfg, plan, withUndoneAsConflicts(plan.containerd().Changes, managedfile.Report{}))
	if err != nil {
		return before, err
	}
	rules, err := n.rules(cfg, plan, plan.containerd().Changes)
	rules.Directories = desired.MergeTransition(before.Directories, rules.Directories)
	return rules, err
}

// writeTransitionRules writes these rules.
func (n *Node) writeTransitionRules(cfg *config.Config, plan Plan) (credprovider.Rules, error) {
	rules, err := n.transitionRules(cfg, plan)
	if err != nil {
		return rules, err
	}
	return rules, n.writeRules(rules)
}

// withholdAll makes the provider withhold every credential while a restore removes certs.d, and
// after it if it fails.
func (n *Node) withholdAll() error {
	if _, err := n.Root.Lstat(credprovider.RulesFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return n.writeRules(desired.WithholdAll())
}

// writeEmptyRules writes empty rules in place of the removed ones if kubelet still runs the
// provider: without a rules file and with --require-rules the provider would give no credential
// at all on a node that is as it was before Berth. berth uninstall removes them.
func (n *Node) writeEmptyRules() error {
	if _, err := n.Root.Lstat(credprovider.RulesFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range kubeletWiringFiles {
		if _, err := n.Root.Lstat(file); err == nil {
			return n.writeRules(credprovider.Rules{Missing: true})
		}
	}
	return nil
}

// kubeletWiringFiles are the files that exist if Berth may have added the provider to kubelet's
// configuration: the journal of berth install, and the list of what the chart has placed.
var kubeletWiringFiles = [...]string{StateDir + "/install/install.json", StateDir + "/placed.json"}
