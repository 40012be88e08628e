package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install/systemd"
)

// Where things are on a node, below the root.
const (
	// StateDir holds the record, the originals, and the journal of what is still to be done.
	StateDir = record.DefaultStateDir + "/install"
	lockFile = "/run/berth/install.lock"
)

// The areas of the record: what is undone together.
const (
	scopeContainerd = "containerd"
	scopeConfig     = "kubelet-config"
	scopeFlags      = "kubelet-flags"
	scopeDocker     = "docker"
)

// Services restarts the services of a node.
type Services interface {
	// Reload reloads the unit files.
	Reload(ctx context.Context) error
	// Restart restarts a service, and returns when the restart is done.
	Restart(ctx context.Context, unit string) error
	// State returns the state of a service. An unknown service is not active.
	State(ctx context.Context, unit string) (State, error)
}

// State is the state of a service.
type State = systemd.State

// Options are the inputs of an [Installer].
type Options struct {
	// Services is the node's systemd; nil if it has none.
	Services Services
	// Runtime connects to the CRI at a socket, a path that this process can open. Nil is
	// [DialRuntime].
	Runtime func(socket string) (Runtime, error)
	// Programs are the paths, as this process opens them, where the credential provider to install
	// may be. The first that exists is used.
	Programs []string
	// Images are the images about which kubelet must ask the credential provider, in the form of
	// its matchImages, besides every name of ECR.
	Images []string
	// RequireRules is true if the node has a RegistryConfig: the credential provider then gives
	// nothing if its rules are missing.
	RequireRules bool
	// RoleAnnotations are the annotations of service accounts that hold a role; with some, kubelet
	// passes them and a token of the pod's service account to the credential provider.
	RoleAnnotations []string
	// CertsDir is the directory to read hosts.toml files from if the node configures none yet.
	CertsDir string
	// DropMirrors removes deprecated settings that keep containerd from reading hosts.toml files.
	DropMirrors bool
	// NoRestart leaves all restarts to the user.
	NoRestart bool
	// ValidateDocker returns an error if this dockerd would not start with this daemon.json; both are
	// paths that this process can open. Nil asks nothing.
	ValidateDocker func(ctx context.Context, dockerd, config string) error
	// Say reports each step that was done, one line each. Nil reports nothing.
	Say func(line string)
	// ReadyTimeout is how long a daemon may take to become ready after its restart, SettleTime how
	// long kubelet must stay up. Zero is one minute and ten seconds.
	ReadyTimeout, SettleTime time.Duration
	// Step is called before each change to the node; its error makes the change fail. Tests use it
	// to stop or kill an installation half-way.
	Step func(what string) error
}

// Parts select the daemons to wire. The zero value selects containerd and kubelet. Docker's image
// store is switched only on request; undoing everything includes it.
type Parts struct{ Containerd, Kubelet, Docker bool }

func (p Parts) all() bool { return p == Parts{} }

// Installer wires one node.
type Installer struct {
	machine node.Machine
	o       Options
	store   *managedfile.Store
	journal journal
	engine  node.Containerd
	dropped bool // the journal on disk has obligations that are met
}

// New returns an installer for a node. It reads the journal of an earlier run, and changes nothing.
func New(m node.Machine, o Options) (*Installer, error) {
	in := &Installer{machine: m, o: o}
	if in.o.Runtime == nil {
		in.o.Runtime = DialRuntime
	}
	if in.o.ReadyTimeout == 0 {
		in.o.ReadyTimeout = time.Minute
	}
	if in.o.SettleTime == 0 {
		in.o.SettleTime = 10 * time.Second
	}
	var options []managedfile.Option
	if o.Step != nil {
		options = append(options, managedfile.WithSteps(func(s nodefs.Step) error { return o.Step(s.Op + " " + s.Path) }))
	}
	var err error
	if in.store, err = managedfile.Open(m.Root, StateDir, options...); err != nil {
		return nil, err
	}
	return in, in.load()
}

// Lock excludes other installations. It does not wait: the error matches nodefs.ErrLocked and
// names the process that holds the lock.
func Lock(ctx context.Context, root *nodefs.Root) (unlock func(), err error) {
	l, err := nodefs.LockFile(ctx, root, lockFile, false)
	if err != nil {
		return nil, err
	}
	return l.Unlock, nil
}

// Install looks at the node and plans how to wire it. It changes nothing.
func (in *Installer) Install(ctx context.Context, parts Parts) (Plan, error) {
	if err := in.look(ctx); err != nil {
		return Plan{}, err
	}
	var p Plan
	if parts.all() || parts.Containerd {
		p.Sections = append(p.Sections, in.installContainerd(ctx))
	}
	if parts.all() || parts.Kubelet {
		p.Sections = append(p.Sections, in.installKubelet(ctx, !parts.all()))
	}
	if parts.Docker {
		p.Sections = append(p.Sections, in.installDocker(ctx))
	}
	return p, nil
}

// KubeletRefusal returns the reason why wiring kubelet would be refused on a node, nil if it
// would not. It changes nothing, restarts nothing and does not ask the CRI.
func KubeletRefusal(ctx context.Context, m node.Machine, images []string) error {
	in, err := New(m, Options{
		Programs: Programs(m.Root, ""),
		Images:   images,
		Runtime:  func(string) (Runtime, error) { return nil, errors.New("not asked") },
	})
	if err != nil {
		return err
	}
	plan, err := in.Install(ctx, Parts{Kubelet: true})
	return errors.Join(err, plan.Err())
}

// Uninstall plans how to put the node back as it was before [Installer.Install]. It changes
// nothing.
func (in *Installer) Uninstall(ctx context.Context, parts Parts) (Plan, error) {
	if err := in.look(ctx); err != nil {
		return Plan{}, err
	}
	p := Plan{apart: true}
	if parts.all() || parts.Kubelet {
		p.Sections = append(p.Sections, in.uninstallKubelet(ctx))
	}
	if parts.all() || parts.Containerd {
		p.Sections = append(p.Sections, in.uninstallContainerd(ctx))
	}
	if parts.Docker || parts.all() && in.recordedDocker() {
		p.Sections = append(p.Sections, in.uninstallDocker(ctx))
	}
	return p, nil
}

// Do carries out a plan. With an empty plan it removes obligations of an earlier run that are met
// by now. It stops at the first section that fails; the changes of that section have then been
// undone, unless the error says otherwise. The sections of [Installer.Uninstall] are independent:
// the others are carried out even if one fails.
func (in *Installer) Do(ctx context.Context, p Plan) error {
	if err := p.Blocked(); err != nil {
		return err
	}
	var errs []error
	if in.journal.Stale {
		if err := in.reload(ctx); err != nil {
			return err
		}
	}
	for _, s := range p.Sections {
		if s.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, s.Err))
		}
		if s.Err != nil || s.do == nil {
			continue
		}
		if err := s.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", s.Name, err)
			if back, ok := errors.AsType[*RollbackError](err); ok && back.Err == nil {
				err = errors.Join(err, in.tidy(ctx))
			}
			if !p.apart || ctx.Err() != nil {
				return err
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, in.tidy(ctx))...)
}

// look finds the node's containerd. If its program cannot be run, as from a container, the CRI
// tells the version.
func (in *Installer) look(ctx context.Context) error {
	c, err := node.Discover(ctx, in.machine)
	if err != nil {
		return err
	}
	if in.engine = c; !c.Release.IsZero() {
		return nil
	}
	status, err := in.status(ctx, c)
	if err != nil || status.Version == "" {
		return nil // the version stays unknown; a change must suit every version
	}
	told := in.machine
	told.Version = func(context.Context, string) (string, error) { return "containerd " + status.Version, nil }
	in.engine, err = node.Discover(ctx, told)
	return err
}

// tidy removes finished work from the record, and the record itself once it is empty.
func (in *Installer) tidy(ctx context.Context) error {
	recorded := map[string]bool{}
	for _, name := range []string{scopeContainerd, scopeConfig, scopeFlags, scopeDocker} {
		files, err := in.recorded(name)
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.Owner == managedfile.Foreign && f.Pending {
				// It was put back, or never written, before the run was killed.
				if err := in.apply(ctx, name, []managedfile.Change{{Action: managedfile.Forget, Path: f.Path, Before: f}}); err != nil {
					return err
				}
				continue
			}
			recorded[f.Path] = true
		}
	}
	for name := range in.journal.Edits {
		if !recorded[name] {
			delete(in.journal.Edits, name)
			in.dropped = true
		}
	}
	if in.dropped {
		if err := in.save(); err != nil {
			return err
		}
		in.dropped = false
	}
	if len(recorded) > 0 || !in.journal.empty() {
		return nil
	}
	if _, err := in.store.Restore(ctx); err != nil {
		return err
	}
	return in.removeState()
}

// removeState removes the journal, and leftovers of killed runs in the state directory:
// directories, and copies without a description.
func (in *Installer) removeState() error {
	journal, err := in.machine.Root.Resolve(path.Join(StateDir, journalName))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(journal); err == nil {
		if err := in.step("remove the journal"); err != nil {
			return err
		}
		if err := os.Remove(journal); err != nil {
			return err
		}
	}
	saved := path.Join(StateDir, "saved")
	for _, file := range node.List(in.machine.Root, saved+"/*") {
		if _, err := in.machine.Root.Lstat(file + ".json"); path.Ext(file) == ".json" || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if real, err := in.machine.Root.Resolve(file); err == nil {
			_ = os.Remove(real) // if that fails, the directory stays too
		}
	}
	if err := in.removeStandIn(); err != nil {
		return err
	}
	for _, dir := range []string{saved, StateDir, record.DefaultStateDir + "/saved", record.DefaultStateDir} {
		real, err := in.machine.Root.Resolve(dir)
		if err == nil {
			err = os.Remove(real)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // it is not empty
		}
	}
	return nil
}

// removeStandIn removes the rules that "berth restore" left because kubelet was still wired. Rules
// of apply or the agent stay.
func (in *Installer) removeStandIn() error {
	body, err := in.machine.Root.ReadFile(credprovider.RulesFile)
	if err != nil {
		return nil // they are missing, or not those of restore
	}
	if rules, err := credprovider.ParseRules(body); err != nil || !rules.Missing {
		return nil
	}
	file, err := in.machine.Root.Resolve(credprovider.RulesFile)
	if err == nil {
		err = in.step("remove the rules that restore left")
	}
	if err == nil {
		err = os.Remove(file)
	}
	return err
}

func (in *Installer) say(format string, args ...any) {
	if in.o.Say != nil {
		in.o.Say(fmt.Sprintf(format, args...))
	}
}

func (in *Installer) step(what string) error {
	if in.o.Step == nil {
		return nil
	}
	return in.o.Step(what)
}

// restart restarts a service, without waiting until it is ready.
func (in *Installer) restart(ctx context.Context, unit string) error {
	if err := in.step("restart " + unit); err != nil {
		return err
	}
	if err := in.o.Services.Restart(ctx, unit); err != nil {
		return err
	}
	in.say("restarted %s", unit)
	return nil
}
