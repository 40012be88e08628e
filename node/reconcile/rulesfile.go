package reconcile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/desired"
)

// rulesName is the file that tells the credential provider of the config. It
// lies in Berth's own directory.
var rulesName = path.Base(credprovider.RulesFile)

// rules says what the provider has to know, given what stands in certs.d now
// and what changes puts there.
func (n *Node) rules(cfg *config.Config, plan Plan, changes []managedfile.Change) (credprovider.Rules, error) {
	rules := config.ProviderRules(cfg)
	rules.CertsDir = path.Clean(cfg.Containerd.CertsDir)
	certsDir, err := n.Root.Resolve(cfg.Containerd.CertsDir)
	if err != nil {
		return rules, err
	}
	// First, so that a file which changes before it is read for its hosts is not
	// what the provider finds.
	files := n.digests(rules.CertsDir, changes, plan.current)
	others := hostsconf.ForeignDirectories(certsDir, changes, plan.current)
	rules.Directories = desired.RuleDirectories(cfg, plan.Desired.Installed(changes), plan.withdrawn, plan.idle, others, files)
	return rules, nil
}

// digests gives what the hosts.toml files hold by which the provider knows that
// the rules are still true, by the name of the directory: of ours what is or
// will be written, also without its headers as removeExpiredSecrets leaves it, and of
// others what stands there.
func (n *Node) digests(certsDir string, changes []managedfile.Change, current managedfile.Snapshot) map[string][]string {
	files := map[string][]string{}
	for _, c := range changes {
		name := path.Base(path.Dir(c.Path))
		if c.After == nil || c.Action == managedfile.Conflict || path.Base(c.Path) != hostsconf.FileName {
			continue
		}
		files[name] = []string{credprovider.Digest(c.After.Content())}
		if c.Action == managedfile.Unchanged {
			files[name] = []string{credprovider.Digest(c.Before.Content)}
		}
		for _, inPlace := range []bool{false, true} {
			bare, _, err := withoutSecretLines(string(c.After.Body), nil, inPlace)
			if err == nil && bare != string(c.After.Body) {
				after := *c.After
				after.Body = []byte(bare)
				files[name] = append(files[name], credprovider.Digest(after.Content()))
			}
		}
	}
	for _, d := range current.Dirs {
		if files[d.Name] != nil {
			continue
		}
		file, err := n.Root.Resolve(path.Join(certsDir, d.Name, hostsconf.FileName))
		if err != nil {
			continue
		}
		// What cannot be read is withheld, and without a file the registry is asked.
		if content, err := hostsconf.ReadSafely(file); err == nil {
			files[d.Name] = []string{credprovider.Digest(content)}
		}
	}
	return files
}

// carriedOut gives the changes with those that did not happen as conflicts:
// something else stands there.
func carriedOut(changes []managedfile.Change, report managedfile.Report) []managedfile.Change {
	done := make(map[string]bool, len(report.Changed))
	for _, c := range report.Changed {
		done[c.Path] = true
	}
	all := slices.Clone(changes)
	for i, c := range all {
		if c.Action != managedfile.Unchanged && !done[c.Path] {
			all[i].Action = managedfile.Conflict
		}
	}
	return all
}

// rulesDiffer reports whether the rules file says something else, or is one
// that the provider refuses: it wants a file of its own user for nobody else.
func (n *Node) rulesDiffer(rules credprovider.Rules) (bool, error) {
	want, err := rules.Encode()
	if err != nil {
		return false, err
	}
	info, err := n.Root.Lstat(credprovider.RulesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode() != 0o600 || !ok || int(owner.Uid) != os.Geteuid() {
		return true, nil
	}
	have, err := n.Root.ReadFile(credprovider.RulesFile)
	return !bytes.Equal(have, want), err
}

// writeRules brings the rules file up to date.
func (n *Node) writeRules(rules credprovider.Rules) error {
	differ, err := n.rulesDiffer(rules)
	if err != nil || !differ {
		return err
	}
	body, err := rules.Encode()
	if err != nil {
		return err
	}
	return n.Store.WritePrivate(rulesName, body)
}

// guardRules writes rules that hold before and after certs.d changes: for what
// stands there now, whoever wrote it, and for what is about to.
func (n *Node) guardRules(cfg *config.Config, plan Plan) error {
	before, err := n.rules(cfg, plan, carriedOut(plan.Changes, managedfile.Report{}))
	if err != nil {
		return err
	}
	rules, err := n.rules(cfg, plan, plan.Changes)
	if err != nil {
		return err
	}
	rules.Directories = desired.MergeTransition(before.Directories, rules.Directories)
	return n.writeRules(rules)
}

// wirings tell that kubelet's configuration may name the provider by our doing:
// the journal of berth install, and what the chart has put there.
var wirings = [...]string{StateDir + "/install/install.json", StateDir + "/placed.json"}

// placeholder leaves rules that know nothing in place of those that went, as long as
// kubelet is wired: with --require-rules the provider would give nothing at all
// on a node that is as it was before. berth uninstall removes them.
func (n *Node) placeholderRules() error {
	if _, err := n.Root.Lstat(credprovider.RulesFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range wirings {
		if _, err := n.Root.Lstat(file); err == nil {
			return n.writeRules(credprovider.Rules{Missing: true})
		}
	}
	return nil
}

// withholdAll keeps the provider from giving anything away while certs.d goes,
// and afterwards if that fails.
func (n *Node) withholdAll() error {
	if _, err := n.Root.Lstat(credprovider.RulesFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return n.writeRules(desired.WithholdAll())
}
