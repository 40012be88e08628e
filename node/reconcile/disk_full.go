package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// reasonSecretRemoved is the reason in logs and in the output of apply.
const reasonSecretRemoved = "expired or replaced login removed; other changes wait until there is space on the disk"

// removeExpiredSecrets runs when the normal write fails, mostly because the disk is full: it
// removes from hosts.toml the secrets that must not be there any more. An expired token makes
// containerd go on to the next host without an error, and a revoked one must leave the disk.
//
// The hosts in each file stay, so that the credential provider's rules stay true; fileDigests lets
// the rules accept a file without its logins, too. Only files are changed that are ours by the
// record and intact by their own marker. The record cannot be written, so each new file says in its
// marker line that it is ours without it.
func (n *Node) removeExpiredSecrets(ctx context.Context, result *Result) error {
	if ctx.Err() != nil {
		return nil
	}
	var errs []error
	for _, t := range result.Plan.Trees {
		err := removeSecrets(ctx, t, result, false)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			// The directory itself is full: a new file beside the old one cannot be written.
			err = removeSecrets(ctx, t, result, true)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, n.removeConfigJSON(ctx, result))...)
}

func removeSecrets(ctx context.Context, t TreePlan, result *Result, inPlace bool) error {
	current, err := t.tree.Read(t.Desired)
	if err != nil {
		return fmt.Errorf("remove expired logins: %w", err)
	}
	changes, errs := secretRemovals(t, current, inPlace)
	if len(changes) == 0 {
		return errs
	}
	report, err := t.tree.ApplyUnrecorded(ctx, changes)
	result.Report.Changed = append(result.Report.Changed, report.Changed...)
	result.Report.Skipped = append(result.Report.Skipped, report.Skipped...)
	return errors.Join(errs, err)
}

// secretRemovals returns the changes that remove secrets from the files in a directory, and nothing
// else. In place, a login that the config replaces by another one is removed too.
func secretRemovals(t TreePlan, current managedfile.Snapshot, inPlace bool) ([]managedfile.Change, error) {
	want := map[string]map[string]hostsconf.Host{} // by name of the directory and URL
	for _, d := range t.Desired.Installed(t.Changes) {
		hosts := map[string]hostsconf.Host{}
		for _, h := range slices.Concat(t.withdrawn[d.Upstream], d.Hosts) {
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
		if o.Owner != managedfile.Ours || o.Kind != nodefs.Regular || !record.Intact(o.Content) ||
			path.Dir(dir) != path.Clean(t.tree.CertsDir()) || hostsconf.UpstreamOf(path.Base(dir)) == "" {
			continue
		}
		body := string(record.WithoutMarker(o.Content))
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
			After: &managedfile.File{Path: o.Path, Body: []byte(edited), Mode: mode, Comment: "#", Unrecorded: true},
		})
	}
	return changes, errors.Join(errs...)
}
