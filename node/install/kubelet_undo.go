package install

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/providerconfig"
)

// body is the content of a file of Berth without its marker.
func body(content []byte) []byte { return record.WithoutMarker(content) }

// uninstallKubelet plans how to undo the wiring of kubelet.
func (in *Installer) uninstallKubelet(ctx context.Context) Section {
	s := Section{Name: daemonKubelet}
	flags, err := in.undo(scopeFlags)
	if err == nil {
		var configs []undoStep
		if configs, err = in.undo(scopeConfig); err == nil {
			s = in.planKubeletUndo(ctx, s, flags, configs)
			return s
		}
	}
	s.Err = err
	return s
}

func (in *Installer) planKubeletUndo(ctx context.Context, s Section, flags, configs []undoStep) Section {
	// Sorted, the provider is before the program that it starts.
	programs := slices.Sorted(maps.Keys(in.journal.Programs))
	_, noted := in.journal.RestartPending[daemonKubelet]
	if len(flags)+len(configs)+len(programs) == 0 && !noted {
		s.Found = append(s.Found, "nothing of kubelet's configuration is Berth's")
		return s
	}
	var k kubeletNode
	if found, err := in.kubelet(ctx); err == nil {
		k = found
		s.Found = append(s.Found, k.describe())
	}
	s.Changes = append(in.changes(flags), in.changes(configs)...)
	r, due, err := in.restartKubelet(ctx, k, len(s.Changes) > 0)
	if err != nil {
		s.Err = err
		return s
	}
	if s.Restart = r; r == nil && (len(s.Changes) > 0 || due) {
		s.Notes = append(s.Notes, in.noKubeletRestart(k))
	}
	late := r == nil && k.runs && (len(s.Changes) > 0 || due)
	going := 0
	for _, name := range programs {
		switch by := in.namedBy(k, flags, configs); {
		case by != "":
			s.Notes = append(s.Notes, fmt.Sprintf("%s stays: %s names it", name, by))
		case late:
			s.Notes = append(s.Notes, fmt.Sprintf("%s stays until kubelet was restarted; run this again then", name))
		default:
			s.Changes = append(s.Changes, Change{Path: name, What: "remove", Detail: "the program"})
			going++
		}
	}
	if len(flags)+len(configs)+going == 0 && r == nil {
		return s
	}
	s.do = func(ctx context.Context) error { return in.undoKubelet(ctx, k, flags, configs, programs, r, late) }
	return s
}

// undoKubelet removes the flags first, then the configuration that they named, then the programs if
// nothing names the provider any more.
func (in *Installer) undoKubelet(ctx context.Context, k kubeletNode, flags, configs []undoStep, programs []string, r *Restart, late bool) error {
	in.journal.Stale = in.o.Services != nil && len(flags) > 0
	if r != nil || late {
		if err := in.markRestartPending(daemonKubelet, in.identity(ctx, k.service.Name, k.running.PID)); err != nil {
			return err
		}
	} else if err := in.save(); err != nil {
		return err
	}
	if err := in.transfer(ctx, scopeFlags, flags); err != nil {
		return err
	}
	if len(flags)+len(configs) > 0 {
		// systemd must not keep a command that names the files which are removed next.
		if err := in.reload(ctx); err != nil {
			return err
		}
	}
	if err := in.transfer(ctx, scopeConfig, configs); err != nil {
		return err
	}
	if r != nil {
		if err := in.applyAndRestartKubelet(ctx, r); err != nil {
			return fmt.Errorf("the files are as they were before berth, and %w", err)
		}
		in.say("checked: kubelet runs")
	}
	if late {
		return nil
	}
	for _, name := range programs {
		if by := in.namedBy(k, nil, nil); by != "" {
			in.say("left %s: %s names it", name, by)
			continue
		}
		if err := in.removeProgram(name); err != nil {
			return err
		}
	}
	return in.restartDone(daemonKubelet)
}

// namedBy returns a kubelet configuration that names the provider, wherever its program is; "" if
// there is none after flags and configs are undone.
func (in *Installer) namedBy(k kubeletNode, flags, configs []undoStep) string {
	goes := map[string]bool{}
	for _, u := range slices.Concat(flags, configs) {
		goes[u.found.Path] = !u.leave
	}
	places := []string{
		k.stock.ProviderConfig, k.running.ProviderConfig, providerconfig.File,
		"/etc/eks/image-credential-provider/config.json", "/var/lib/rancher/credentialprovider/config.yaml",
	}
	for _, dir := range []string{"/etc/kubernetes", "/etc/kubernetes/*", "/var/lib/kubelet"} {
		for _, pattern := range []string{"*credential*.yaml", "*credential*.yml", "*credential*.json"} {
			places = append(places, node.List(in.machine.Root, path.Join(dir, pattern))...)
		}
	}
	for _, place := range places {
		if place == "" {
			continue
		}
		for _, file := range configFiles(in.machine.Root, place) {
			raw, err := in.machine.Root.ReadFile(file)
			if err != nil || goes[file] {
				continue
			}
			if names, err := providerconfig.Names(raw); err == nil && slices.Contains(names, providerconfig.Provider) {
				return file
			}
		}
	}
	return ""
}
