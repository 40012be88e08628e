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
	"github.com/berth-registry/berth/node"
)

// Where things are on a node, below the root.
const (
	// StateDir holds the record, the originals, and what is still to be done.
	StateDir = managedfile.DefaultStateDir + "/install"
	lockFile = "/run/berth/install.lock"
)

// The areas of the record: what is undone together.
const (
	scopeContainerd = "containerd"
	scopeConfig     = "kubelet-config"
	scopeFlags      = "kubelet-flags"
)

// Options say with what an [Installer] works.
type Options struct {
	// Services is the node's systemd; nil where there is none.
	Services Services
	// Runtime connects to the CRI at a socket, a path that this process can
	// open. Nil is [DialRuntime].
	Runtime func(socket string) (Runtime, error)
	// Programs are where the credential provider may lie that is to be
	// installed, as this process opens them; the first that is there counts.
	Programs []string
	// Images are what kubelet is to ask the credential provider about, in the
	// form of its matchImages, besides every name of ECR.
	Images []string
	// RequireRules says that the node has a RegistryConfig, so that the
	// credential provider is to give nothing when its rules are missing.
	RequireRules bool
	// CertsDir is where hosts.toml files are to be read from, if nothing on the
	// node names a directory yet.
	CertsDir string
	// DropMirrors removes deprecated settings that are in the way.
	DropMirrors bool
	// NoRestart leaves restarts to whoever asked for it.
	NoRestart bool
	// Say tells what was done, a line each. Nil says nothing.
	Say func(line string)
	// Patience is how long a daemon may take until it is ready after its
	// restart, and Settle how long kubelet must stay up. Zero is a minute, and
	// ten seconds.
	Patience, Settle time.Duration
	// Step is called before each change to the node; an error is what the change
	// fails with. It is for tests that stop or kill an installation half-way.
	Step func(what string) error
}

// Parts say what is wired. The zero value is all that the node has.
type Parts struct{ Containerd, Kubelet bool }

func (p Parts) all() bool { return p == Parts{} }

// Installer wires one node.
type Installer struct {
	host    node.Host
	o       Options
	store   *managedfile.Store
	journal journal
	engine  node.Containerd
	dropped bool // the journal on disk knows more than there is left
}

// New gives an installer for a node. It reads what an earlier one left to do,
// and changes nothing.
func New(h node.Host, o Options) (*Installer, error) {
	in := &Installer{host: h, o: o}
	if in.o.Runtime == nil {
		in.o.Runtime = DialRuntime
	}
	if in.o.Patience == 0 {
		in.o.Patience = time.Minute
	}
	if in.o.Settle == 0 {
		in.o.Settle = 10 * time.Second
	}
	var options []managedfile.Option
	if o.Step != nil {
		options = append(options, managedfile.WithSteps(func(s managedfile.Step) error { return o.Step(s.Op + " " + s.Path) }))
	}
	var err error
	if in.store, err = managedfile.Open(h.Root, StateDir, options...); err != nil {
		return nil, err
	}
	return in, in.load()
}

// Lock keeps others from installing at the same time. It does not wait: the
// error matches managedfile.ErrLocked and names who does.
func Lock(ctx context.Context, root *managedfile.Root) (unlock func(), err error) {
	l, err := managedfile.LockFile(ctx, root, lockFile, false)
	if err != nil {
		return nil, err
	}
	return l.Unlock, nil
}

// Install looks at the node and says what has to be done so that it is wired.
// It changes nothing.
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
	return p, nil
}

// KubeletRefusal returns the reason why wiring kubelet would be refused on a node, nil if it
// would not. It changes nothing, restarts nothing and does not ask the CRI.
func KubeletRefusal(ctx context.Context, h node.Host, images []string) error {
	in, err := New(h, Options{
		Programs: Programs(h.Root, ""),
		Images:   images,
		Runtime:  func(string) (Runtime, error) { return nil, errors.New("not asked") },
	})
	if err != nil {
		return err
	}
	plan, err := in.Install(ctx, Parts{Kubelet: true})
	return errors.Join(err, plan.Err())
}

// Uninstall says what has to be done so that the node is as it was before
// [Installer.Install]. It changes nothing.
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
	return p, nil
}

// Do carries out a plan, also one with nothing to do: what an earlier run noted
// and is done by now is then forgotten. It stops at the first section that fails; what that one
// had changed has then been put back, if the error does not say otherwise. The sections of
// [Installer.Uninstall] do not need one another: one that fails does not keep the others back.
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

// look finds the node's containerd. Where its program cannot be run here, as
// from a container, the CRI tells the version.
func (in *Installer) look(ctx context.Context) error {
	c, err := node.Discover(ctx, in.host)
	if err != nil {
		return err
	}
	if in.engine = c; !c.Release.IsZero() {
		return nil
	}
	status, err := in.status(ctx, c)
	if err != nil || status.Version == "" {
		return nil // the version stays unknown, and a change has to do for all
	}
	told := in.host
	told.Version = func(context.Context, string) (string, error) { return "containerd " + status.Version, nil }
	in.engine, err = node.Discover(ctx, told)
	return err
}

// tidy forgets what is done with, and removes the record once there is nothing
// left in it.
func (in *Installer) tidy(ctx context.Context) error {
	recorded := map[string]bool{}
	for _, name := range []string{scopeContainerd, scopeConfig, scopeFlags} {
		files, err := in.recorded(name)
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.Owner == managedfile.Foreign && f.Pending {
				// It was put back, or never written, and then the run was killed.
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

// removeState removes the journal, and what a killed run has made in the state
// directory and not told of: directories, and copies without the description
// that makes them one.
func (in *Installer) removeState() error {
	journal, err := in.host.Root.Resolve(path.Join(StateDir, journalName))
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
	for _, file := range node.List(in.host.Root, saved+"/*") {
		if _, err := in.host.Root.Lstat(file + ".json"); path.Ext(file) == ".json" || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if real, err := in.host.Root.Resolve(file); err == nil {
			_ = os.Remove(real) // then it stays, and the directory with it
		}
	}
	if err := in.removeStandIn(); err != nil {
		return err
	}
	for _, dir := range []string{saved, StateDir, managedfile.DefaultStateDir + "/saved", managedfile.DefaultStateDir} {
		real, err := in.host.Root.Resolve(dir)
		if err == nil {
			err = os.Remove(real)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil // something else is in it
		}
	}
	return nil
}

// removeStandIn removes the rules that berth restore left because kubelet was
// still wired. Other rules are those of apply or the agent, and stay.
func (in *Installer) removeStandIn() error {
	body, err := in.host.Root.ReadFile(credprovider.RulesFile)
	if err != nil {
		return nil // they are not there, or not what restore left
	}
	if rules, err := credprovider.ParseRules(body); err != nil || !rules.Missing {
		return nil
	}
	file, err := in.host.Root.Resolve(credprovider.RulesFile)
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

// Plan is what is to be done, by what it is done to.
type Plan struct {
	Sections []Section

	apart bool // the sections do not need one another
}

// Section is what is to be done to containerd, or to kubelet.
type Section struct {
	Name string
	// Found says what is there, and Notes what to know or to do by hand, a
	// sentence each.
	Found, Notes []string
	Changes      []Change
	// Restart is the restart that comes with it; nil for none.
	Restart *Restart
	// Err says why it cannot be done.
	Err error

	do func(context.Context) error // nil: there is nothing to do
}

// Change is one file that changes.
type Change struct {
	Path string
	// What is "write", "change", "remove" or "put back", and Detail says what
	// cannot be shown as text.
	What, Detail string
	// Before and After are its content; nil when it is not there, or is a
	// program.
	Before, After []byte
	// Foreign says that it is somebody else's file, in which values that may be
	// secrets are not shown.
	Foreign bool
}

// Restart is one restart of a service.
type Restart struct {
	Unit string
	// Why says what makes it necessary, and Means what comes with it.
	Why, Means string
}

// Needed reports whether there is anything to do.
func (p Plan) Needed() bool {
	for _, s := range p.Sections {
		if s.do != nil {
			return true
		}
	}
	return false
}

// Blocked is why nothing of the plan can be carried out; nil if a part can.
func (p Plan) Blocked() error {
	if p.apart && p.Needed() {
		return nil
	}
	return p.Err()
}

// Err joins the reasons why the plan, or a part of it, cannot be carried out.
func (p Plan) Err() error {
	var errs []error
	for _, s := range p.Sections {
		if s.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, s.Err))
		}
	}
	return errors.Join(errs...)
}
