package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
)

// diskFullRecordDir holds the record of files that were written while the record below StateDir
// could not be. It is in memory, so it has room when the disk is full.
const diskFullRecordDir = "/run/berth/record"

// reasonSecretRemoved is the reason in logs and in the output of apply.
const reasonSecretRemoved = "expired or replaced login removed; other changes wait until there is space on the disk"

// removeExpiredSecrets runs when the normal write fails, mostly because the disk is full: it
// removes from hosts.toml the secrets that must not be there any more. An expired token makes
// containerd go on to the next host without an error, and a revoked one must leave the disk.
//
// The hosts in each file stay, so that the credential provider's rules stay true. Only files
// are changed that are ours by the record and intact by their own marker. As always the intent
// is recorded first, but in diskFullRecordDir.
func (n *Node) removeExpiredSecrets(ctx context.Context, cfg *config.Config, result *Result) error {
	if ctx.Err() != nil {
		return nil
	}
	err := n.removeSecrets(ctx, cfg, result, false)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// certs.d itself is full: a new file beside the old one cannot be written.
		return n.removeSecrets(ctx, cfg, result, true)
	}
	return err
}

func (n *Node) removeSecrets(ctx context.Context, cfg *config.Config, result *Result, inPlace bool) error {
	current, err := n.readTree(cfg, result.Plan.Desired)
	if err != nil {
		return fmt.Errorf("remove expired logins: %w", err)
	}
	changes, errs := secretRemovals(cfg, result.Plan, current, inPlace)
	if len(changes) == 0 {
		return errs
	}
	record, err := n.diskFullRecord()
	if err != nil {
		return errors.Join(errs, err)
	}
	report, err := record.Apply(ctx, hostsconf.Scope(cfg.Containerd.CertsDir, false), changes)
	result.Report.Changed = append(result.Report.Changed, report.Changed...)
	result.Report.Skipped = append(result.Report.Skipped, report.Skipped...)
	return errors.Join(errs, err)
}

// secretRemovals returns the changes that remove secrets from the files in certs.d, and nothing
// else. In place, a login that the config replaces by another one is removed too.
func secretRemovals(cfg *config.Config, plan Plan, current managedfile.Snapshot, inPlace bool) ([]managedfile.Change, error) {
	want := map[string]map[string]hostsconf.Host{} // by name of the directory and URL
	for _, d := range plan.Desired.Installed(plan.Changes) {
		hosts := map[string]hostsconf.Host{}
		for _, h := range slices.Concat(plan.withdrawn[d.Upstream], d.Hosts) {
			hosts[h.URL.String()] = h
		}
		if d.Server != nil {
			hosts[d.Server.URL.String()] = *d.Server
		}
		want[hostsconf.DirName(d.Upstream)] = hosts
	}
	var changes []managedfile.Change
	var errs []error
	for _, o := range current.Files {
		dir := path.Dir(o.Path)
		if o.Owner != managedfile.Ours || o.Kind != managedfile.Regular || !managedfile.Intact(o.Content) ||
			path.Dir(dir) != path.Clean(cfg.Containerd.CertsDir) || hostsconf.UpstreamOf(path.Base(dir)) == "" {
			continue
		}
		body := string(managedfile.WithoutMarker(o.Content))
		edited, header, err := withoutSecretLines(body, want[path.Base(dir)], inPlace)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.Path, err))
			continue
		}
		if edited == body {
			continue
		}
		mode := o.Mode
		if !header && !inPlace {
			mode = 0o644 // as a file without any header is written
		}
		changes = append(changes, managedfile.Change{
			Action: managedfile.Update, Path: o.Path, Before: o, Reason: reasonSecretRemoved, InPlace: inPlace,
			After: &managedfile.File{Path: o.Path, Body: []byte(edited), Mode: mode, Comment: "#"},
		})
	}
	return changes, errors.Join(errs...)
}

// claimRecorded makes the files in current ours that the disk-full record lists and that are
// intact by their own marker. It returns them; without a usable disk-full record there are
// none.
func (n *Node) claimRecorded(current managedfile.Snapshot) (known []managedfile.Observed) {
	if !n.hasDiskFullRecord() {
		return nil
	}
	record, err := n.diskFullRecord()
	if err != nil {
		return nil
	}
	seen, err := record.Observe(current.Scope, nil)
	if err != nil {
		return nil
	}
	ours := map[string][]byte{}
	for _, o := range seen.Files {
		if o.Owner == managedfile.Ours && managedfile.Intact(o.Content) {
			ours[o.Path] = o.Content
		}
	}
	for i, o := range current.Files {
		if content, ok := ours[o.Path]; ok && o.Owner == managedfile.Edited && !o.AccessOnly && bytes.Equal(content, o.Content) {
			current.Files[i].Owner = managedfile.Ours
			known = append(known, current.Files[i])
		}
	}
	return known
}

// mergeDiskFullRecord adds the files of the disk-full record to the main one, so that a
// restore, which uses the main one alone, does not take them for edited.
func (n *Node) mergeDiskFullRecord(ctx context.Context, scope managedfile.Scope) error {
	current, err := n.Store.Observe(scope, nil)
	if err != nil {
		return err
	}
	var changes []managedfile.Change
	for _, o := range n.claimRecorded(current) {
		changes = append(changes, managedfile.Change{
			Action: managedfile.Unchanged, Path: o.Path, Before: o,
			After: &managedfile.File{Path: o.Path, Body: managedfile.WithoutMarker(o.Content), Mode: o.Mode, Comment: "#"},
		})
	}
	if len(changes) == 0 {
		return nil
	}
	_, err = n.Store.Apply(ctx, scope, changes)
	return err
}

func (n *Node) diskFullRecord() (*managedfile.Store, error) {
	return managedfile.Open(n.Root, diskFullRecordDir)
}

func (n *Node) hasDiskFullRecord() bool {
	_, err := n.Root.Lstat(diskFullRecordDir)
	return err == nil
}

// dropDiskFullRecord removes the disk-full record, once the main one is complete again.
func (n *Node) dropDiskFullRecord() error {
	if !n.hasDiskFullRecord() {
		return nil
	}
	dir, err := n.Root.Resolve(diskFullRecordDir)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", diskFullRecordDir, err)
	}
	return nil
}
