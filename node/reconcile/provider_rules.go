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

// rulesName is the file of the credential provider's rules, in Berth's own directory.
var rulesName = path.Base(credprovider.RulesFile)

// rules returns the provider's rules for the files in containerd's directory after changes.
func (n *Node) rules(cfg *config.Config, plan Plan, changes []managedfile.Change) (credprovider.Rules, error) {
	rules := cfg.ProviderRules()
	rules.CertsDir = path.Clean(cfg.Containerd.CertsDir)
	certsDir, err := n.Root.Resolve(cfg.Containerd.CertsDir)
	if err != nil {
		return rules, err
	}
	// First: if a file changes before its hosts are read, the provider sees another
	// digest and withholds.
	t := plan.containerd()
	files := n.fileDigests(rules.CertsDir, changes, t.current)
	others := hostsconf.ForeignDirectories(certsDir, changes, t.current)
	rules.Directories = desired.RuleDirectories(cfg, t.Desired.Installed(changes), t.withdrawn, t.headerUncertain, others, files)
	return rules, nil
}

// fileDigests returns the digests by which the provider checks that the rules are still true, by
// the name of the directory: of our files as they are or will be written, also without their
// headers as removeExpiredSecrets leaves them, and of foreign files as they are.
func (n *Node) fileDigests(certsDir string, changes []managedfile.Change, current managedfile.Snapshot) map[string][]string {
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
				after.Body, after.Unrecorded = []byte(bare), true
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
		// The provider withholds if a file cannot be read; without a file containerd asks the
		// registry.
		if content, err := hostsconf.ReadSafely(file); err == nil {
			files[d.Name] = []string{credprovider.Digest(content)}
		}
	}
	return files
}

// withUndoneAsConflicts returns the changes, with those that did not happen marked as
// conflicts: another file is there.
func withUndoneAsConflicts(changes []managedfile.Change, report managedfile.Report) []managedfile.Change {
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

// rulesDiffer reports whether the rules file differs, or is one that the provider refuses: it
// must have mode 0600 and belong to this user.
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

// writeRules updates the rules file if it differs.
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
