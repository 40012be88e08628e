package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install/edit"
	"github.com/berth-registry/berth/node/providerconfig"
)

const (
	daemonKubelet  = "kubelet"
	kubeletService = "kubelet.service"
	// configName is the name of our file in a directory of configurations.
	configName = "berth.yaml"
	// bothPrograms names what is put into the directory of the provider.
	bothPrograms = providerconfig.Provider + " and " + providerconfig.Fetcher
)

// kubeletNode is what is known about the kubelet of a node.
type kubeletNode struct {
	service node.Service // without our drop-in; Path is "" if there is none
	// stock is how the service would start kubelet without our drop-in, next how it would with it.
	stock, next node.Kubelet
	direct      bool // the service starts kubelet itself
	running     node.Kubelet
	runs        bool
}

// installKubelet plans the wiring of kubelet. asked is true if the user asked for kubelet by name.
func (in *Installer) installKubelet(ctx context.Context, asked bool) Section {
	s := Section{Name: daemonKubelet}
	k, err := in.kubelet(ctx)
	if err != nil {
		return in.refused(s, err, asked)
	}
	s.Found = append(s.Found, k.describe())
	if minor, ok := k.running.Minor(ctx, in.machine); ok && minor < providerconfig.TokensSince && len(in.o.RoleAnnotations) > 0 {
		s.Err = fmt.Errorf("kubelet is of release 1.%d, and passes tokens of service accounts from 1.%d on; leave out --service-account-tokens", minor, providerconfig.TokensSince)
		return s
	}
	w, err := in.wireKubelet(k)
	if err != nil {
		s.Err = err
		return s
	}
	s.Notes = append(s.Notes, w.notes...)
	s.Changes = w.changes()
	rewired := w.config != nil || w.flags != nil || w.dropFlags
	r, due, err := in.restartKubelet(ctx, k, rewired)
	switch {
	case err != nil:
		s.Err = err
		return s
	case len(s.Changes) == 0 && !due:
		s.Found = append(s.Found, fmt.Sprintf("kubelet has %s by %s already; there is nothing to do", providerconfig.Provider, w.configPath))
		return s
	case len(s.Changes) == 0:
		s.Found = append(s.Found, "an earlier run was stopped before kubelet was restarted and checked")
	}
	if s.Restart = r; r == nil {
		if rewired || due {
			s.Notes = append(s.Notes, in.noKubeletRestart(k))
		}
		if len(s.Changes) == 0 {
			return s
		}
	}
	s.do = func(ctx context.Context) error { return in.doKubelet(ctx, k, w, r) }
	return s
}

// refused reports why kubelet is not wired: as an error if the user asked for it, else as a note.
func (in *Installer) refused(s Section, err error, asked bool) Section {
	if asked {
		s.Err = err
	} else {
		s.Notes = append(s.Notes, "left unchanged: "+err.Error()+"; credentials in headers do not need kubelet")
	}
	return s
}

func (k kubeletNode) describe() string {
	text := "kubelet"
	if k.runs {
		text += fmt.Sprintf(", process %d", k.running.PID)
	}
	if k.service.Path != "" {
		text += fmt.Sprintf(", %s (%s)", k.service.Name, k.service.Path)
	}
	return text
}

// errNoKubelet: the node has no kubelet.
var errNoKubelet = errors.New("no kubelet was found: no process, no kubelet.service")

// kubelet finds the node's kubelet. It refuses one whose flags another tool writes.
func (in *Installer) kubelet(ctx context.Context) (kubeletNode, error) {
	var k kubeletNode
	if err := in.managed(); err != nil {
		return k, err
	}
	var err error
	if k.running, k.runs, err = node.FindKubelet(in.machine); err != nil {
		return k, err
	}
	name := kubeletService
	if k.running.Unit != "" {
		name = k.running.Unit
	}
	k.service, err = node.ReadService(in.machine.Root, name, dropIns(name)...)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !k.runs:
		return k, errNoKubelet
	case errors.Is(err, fs.ErrNotExist):
		k.service = node.Service{Name: k.running.Unit}
		k.next = k.running
		return k, nil
	case err != nil:
		return k, err
	}
	k.stock, k.direct = k.service.Kubelet()
	whole, err := node.ReadService(in.machine.Root, name)
	if err != nil {
		return k, err
	}
	k.next, _ = whole.Kubelet()
	if !k.runs {
		// Its processes may not be visible from here.
		if state, ok := in.state(ctx, name); ok && state.Active == "active" {
			k.runs, k.running.Unit = true, name
		}
	}
	return k, nil
}

// managed reports which tool writes kubelet's flags, and how to configure that tool.
func (in *Installer) managed() error {
	const rancher = "/var/lib/rancher/credentialprovider"
	switch in.engine.Layout {
	case node.K3s, node.RKE2:
		return fmt.Errorf("%s has kubelet inside, which needs no flags: put %s into %s/bin and its configuration to %s/config.yaml, then restart %s", in.engine.Layout, bothPrograms, rancher, rancher, in.engine.Layout)
	case node.K0s:
		return fmt.Errorf("k0s starts kubelet: put %s into %s and its configuration to %s, then start k0s worker with --kubelet-extra-args=\"%s\"", bothPrograms, providerconfig.ProgramDir, providerconfig.File, strings.Join(flags(providerconfig.File, providerconfig.ProgramDir), " "))
	case node.MicroK8s:
		return fmt.Errorf("MicroK8s starts kubelet: put %s into %s and its configuration to %s, add the lines %s to /var/snap/microk8s/current/args/kubelet, then restart MicroK8s", bothPrograms, providerconfig.ProgramDir, providerconfig.File, strings.Join(flags(providerconfig.File, providerconfig.ProgramDir), " "))
	}
	if _, err := in.machine.Root.Lstat("/etc/eks"); err == nil {
		return errors.New("nodeadm of EKS writes kubelet's flags and providers at every boot, with a provider for ECR; write logins under registries in the config, or add the provider to nodeadm in the node's user data")
	}
	return nil
}

// flags are the two flags that name the provider.
func flags(config, dir string) []string {
	return []string{"--image-credential-provider-bin-dir=" + dir, "--image-credential-provider-config=" + config}
}

// kubeletWiring is what to write so that kubelet asks the provider.
type kubeletWiring struct {
	programs   []copying
	notes      []string
	configPath string
	config     *wanted
	edit       *edit.Edit // of config, if that file is foreign
	flags      *wanted
	dropFlags  bool // our drop-in would hide flags that were added since
}

func (w kubeletWiring) changes() []Change {
	var all []Change
	for _, c := range w.programs {
		all = append(all, Change{Path: c.to, What: "write", Detail: fmt.Sprintf("mode 0755, %.1f MB, from %s", float64(c.size)/1e6, c.source)})
	}
	for _, f := range []*wanted{w.config, w.flags} {
		if f == nil {
			continue
		}
		c := Change{Path: f.path, What: "change", Before: f.before, After: f.content(), Foreign: f.comment == ""}
		if f.before == nil {
			c.What = "write"
		}
		all = append(all, c)
	}
	return all
}

// content is the content of the file with its marker.
func (f wanted) content() []byte {
	return managedfile.File{Path: f.path, Body: f.body, Comment: f.comment}.Content()
}

// wireKubelet plans the files.
func (in *Installer) wireKubelet(k kubeletNode) (w kubeletWiring, err error) {
	given := k.stock
	if k.service.Path == "" {
		given = k.running
	}
	if (given.ProviderConfig == "") != (given.ProviderDir == "") {
		return w, errors.New("kubelet has one of the flags --image-credential-provider-config and --image-credential-provider-bin-dir, and needs both; set both, or none")
	}
	dir := given.ProviderDir
	w.configPath = given.ProviderConfig
	if w.configPath == "" {
		w.configPath, dir = providerconfig.File, providerconfig.ProgramDir
	}
	if w.programs, w.notes, err = in.copyTo(dir); err != nil {
		return w, err
	}
	if err := in.wireConfig(&w, given.ProviderConfig != ""); err != nil {
		return w, err
	}
	if err := in.startable(w, dir); err != nil {
		return w, err
	}
	recorded, err := in.recorded(scopeFlags)
	if err != nil {
		return w, err
	}
	if given.ProviderConfig != "" {
		w.dropFlags = len(recorded) > 0
		return w, nil
	}
	return w, in.wireFlags(&w, k, dir)
}

// wireConfig plans the change of the CredentialProviderConfig. needed is true if kubelet has its
// flag already: then the file must exist.
func (in *Installer) wireConfig(w *kubeletWiring, needed bool) error {
	if real, err := in.machine.Root.Resolve(w.configPath); err == nil {
		if info, err := os.Stat(real); err == nil && info.IsDir() {
			for _, file := range configFiles(in.machine.Root, w.configPath) {
				raw, err := in.machine.Root.ReadFile(file)
				if err != nil {
					return err
				}
				if names, err := providerconfig.Names(raw); err == nil && slices.Contains(names, providerconfig.Provider) && path.Base(file) != configName {
					w.configPath = file
					return in.wireFile(w, true)
				}
			}
			w.configPath, needed = path.Join(w.configPath, configName), false
		}
	}
	return in.wireFile(w, needed)
}

// wanted is what the entry of the provider has to hold.
func (in *Installer) wanted() providerconfig.Wanted {
	return providerconfig.Wanted{Images: in.o.Images, RequireRules: in.o.RequireRules, RoleAnnotations: in.o.RoleAnnotations}
}

// wireFile plans the change of one file.
func (in *Installer) wireFile(w *kubeletWiring, needed bool) error {
	now, err := in.machine.Root.ReadFile(w.configPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	body, bodyErr := providerconfig.Ours(in.wanted(), now)
	if bodyErr != nil {
		return bodyErr
	}
	ours := wanted{scope: scopeConfig, path: w.configPath, body: body, comment: "#"}
	switch {
	case errors.Is(err, fs.ErrNotExist) && needed:
		return fmt.Errorf("%s: kubelet's flag names it, and it is missing; kubelet does not start like this", w.configPath)
	case errors.Is(err, fs.ErrNotExist):
		w.config = &ours
		return nil
	}
	if ours.before = now; record.Intact(now) {
		if !bytes.Equal(now, ours.content()) {
			w.config = &ours
		}
		return nil
	}
	merged, err := providerconfig.AddEntry(now, in.wanted())
	if err != nil {
		return fmt.Errorf("%s: %w", w.configPath, err)
	}
	if bytes.Equal(merged, now) {
		return nil
	}
	w.config = &wanted{scope: scopeConfig, path: w.configPath, before: now, body: merged}
	w.edit = &edit.Edit{Provider: true, From: edit.Hash(now), To: edit.Hash(merged), Exact: true}
	if old := in.earlier(w.configPath, now); old != nil {
		w.edit.From, w.edit.Exact = old.From, old.Exact && old.To == edit.Hash(now)
	}
	return nil
}

// configFiles lists the files that kubelet reads if its flag names a directory, or the one file.
func configFiles(root *nodefs.Root, config string) []string {
	real, err := root.Resolve(config)
	if err != nil {
		return nil
	}
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		return []string{config}
	}
	var all []string
	for _, file := range node.List(root, path.Join(config, "*")) {
		if slices.Contains([]string{".json", ".yaml", ".yml"}, path.Ext(file)) {
			all = append(all, file)
		}
	}
	return all
}

// startable checks that kubelet starts with the planned files: every provider that they name must
// have its program.
func (in *Installer) startable(w kubeletWiring, dir string) error {
	raw, err := in.machine.Root.ReadFile(w.configPath)
	if w.config != nil {
		raw, err = w.config.content(), nil
	}
	if err != nil {
		return err
	}
	names, err := providerconfig.Names(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", w.configPath, err)
	}
	for _, name := range names {
		if name == providerconfig.Provider {
			continue
		}
		file := path.Join(dir, name)
		real, err := in.machine.Root.Resolve(file)
		if err != nil {
			return err
		}
		if info, err := os.Stat(real); err != nil || info.Mode()&0o111 == 0 {
			return fmt.Errorf("%s names the provider %s, and %s is missing or not executable; kubelet does not start like this", w.configPath, name, file)
		}
	}
	return nil
}
