package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/install/systemd"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/node/reconcile"
)

// installOptions are the flags of install and uninstall.
type installOptions struct {
	*cli.Options
	parts       install.Parts
	yes         bool
	noRestart   bool
	dropMirrors bool
	proc        string
	provider    string
	tokens      bool
}

func newInstall(o *cli.Options) *cobra.Command {
	i := &installOptions{Options: o}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Wire containerd and kubelet of this node, with one restart after confirmation",
		Long: `Make containerd read hosts.toml files, and make kubelet ask Berth's credential
provider. Without --containerd or --kubelet both are done; kubelet only if there
is one and no other tool writes its flags. With --docker Docker's image store is
switched to the one that reads hosts.toml files, with one restart of Docker.

The changes are shown first, and nothing is changed before you confirm them or
give --yes. containerd is restarted at most once, and only if it does not honour
hosts.toml files yet; kubelet only if its configuration changes. After a restart
the daemon is checked, and if it does not become ready every file is put back.
"berth uninstall" undoes all of it.

Exit codes: 0 done, or nothing to do; 1 failed, refused, or not confirmed.`,
		Example: "  berth install                     # shows the changes and asks\n  berth install --containerd --yes\n" +
			"  berth install --docker\n" +
			"  berth install --root /host --yes  # in a privileged container that has the node there",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.run(cmd, (*install.Installer).Install)
		},
	}
	i.flags(cmd)
	cmd.Flags().BoolVar(&i.tokens, "service-account-tokens", false, "make kubelet pass a token of the pod's service account to the provider, for pulls from ECR with the pod's own role (kubelet 1.34 or later, and a right for the nodes: see "+docs.URL("credentials.md#the-pods-own-role")+")")
	cmd.Flags().BoolVar(&i.dropMirrors, "drop-mirrors", false, "remove deprecated registry.mirrors that keep containerd from reading hosts.toml files; carry them over first, with berth convert --from containerd")
	cmd.Flags().StringVar(&i.provider, "provider", "", "the "+providerconfig.Provider+" to install, with "+providerconfig.Fetcher+" in the same directory (default: beside berth, else where its package puts it)")
	return cmd
}

// flags adds the flags that install and uninstall share.
func (i *installOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&i.parts.Containerd, "containerd", false, "containerd only, unless --kubelet is given too")
	f.BoolVar(&i.parts.Kubelet, "kubelet", false, "kubelet only, unless --containerd is given too")
	f.BoolVar(&i.parts.Docker, "docker", false, "Docker's image store: the one that reads hosts.toml files. Images of the other store are not seen")
	f.BoolVar(&i.yes, "yes", false, "do not ask")
	f.BoolVar(&i.noRestart, "no-restart", false, "write the files, and restart nothing")
	f.StringVar(&i.proc, "proc", "", "the node's /proc (default: /proc, or that below --root)")
}

// run plans, shows the plan, asks for confirmation and carries it out.
func (i *installOptions) run(cmd *cobra.Command, plan func(*install.Installer, context.Context, install.Parts) (install.Plan, error)) error {
	ctx := cmd.Context()
	root, err := nodefs.OpenRoot(i.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if i.provider != "" {
		if _, err := os.Stat(i.provider); err != nil {
			return fmt.Errorf("--provider: %w", err)
		}
	}
	unlock, err := install.Lock(ctx, root)
	if err != nil {
		return err
	}
	defer unlock()
	out := cmd.OutOrStdout()
	var done []string
	certsDir, images, annotations, found := i.configured(ctx, root, cmd.ErrOrStderr())
	if !i.tokens {
		annotations = nil
	}
	o := install.Options{
		CertsDir: certsDir, Images: images, RequireRules: found, RoleAnnotations: annotations,
		DropMirrors: i.dropMirrors, NoRestart: i.noRestart,
		Programs:       install.Programs(root, i.provider),
		ValidateDocker: install.ValidateDocker,
		Say: func(line string) {
			if done = append(done, line); i.Output == "text" {
				fmt.Fprintln(out, line)
			}
		},
	}
	services, err := systemd.Dial(ctx, root)
	switch {
	case err == nil:
		defer services.Close()
		o.Services = services
	case !errors.Is(err, systemd.ErrNotRunning):
		return err
	}
	in, err := install.New(i.machine(root), o)
	if err != nil {
		return err
	}
	p, err := plan(in, ctx, i.parts)
	if err != nil {
		return err
	}
	if i.Output == "text" {
		if err := p.Write(out, cli.Painter(out)); err != nil {
			return err
		}
	}
	err = p.Blocked()
	if err == nil && p.Needed() {
		if left := p.Err(); left != nil && i.Output == "text" {
			fmt.Fprintf(out, "\nnot undone: %v\n", left)
		}
		err = i.confirm(cmd)
	}
	if err == nil {
		err = in.Do(ctx, p)
	} else {
		err = fmt.Errorf("nothing was changed: %w", err)
	}
	if i.Output == "json" {
		return errors.Join(cli.PrintJSON(out, p.Summarize(done, err)), err)
	}
	return err
}

// errNoTerminal: no terminal to ask for confirmation.
var errNoTerminal = errors.New("there is no terminal to ask for confirmation; run it in a terminal, or add --yes")

// confirm asks for confirmation.
func (i *installOptions) confirm(cmd *cobra.Command) error {
	if i.yes {
		return nil
	}
	if f, ok := i.Terminal.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return errNoTerminal
	}
	fmt.Fprint(cmd.ErrOrStderr(), "\nGo on? [y/N] ")
	line, err := bufio.NewReader(cli.Interruptible(cmd.Context(), i.Terminal)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New("the answer was no")
}

// machine is the node below the root. In a container that has the whole node there, its /proc is found
// without --proc.
func (i *installOptions) machine(root *nodefs.Root) node.Machine {
	proc := i.proc
	if dir, err := filepath.Abs(i.Root); proc == "" && err == nil && dir != "/" {
		if below := filepath.Join(dir, "proc"); isProc(below) {
			proc = below
		}
	}
	return machine(i.Options, root, proc)
}

func isProc(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "1", "stat"))
	return err == nil
}

// configured returns what the config names, if there is one: the directory of hosts.toml files, the
// registries whose login only kubelet can pass, and the annotations that hold a pod's role.
func (i *installOptions) configured(ctx context.Context, root *nodefs.Root, stderr io.Writer) (certsDir string, images, annotations []string, found bool) {
	cfg, _, err := i.ReadConfig(root)
	if _, missing := errors.AsType[*cli.NoConfigError](err); missing && i.Config == "" {
		return "", nil, config.Default().RoleAnnotations(), false
	}
	if err != nil {
		fmt.Fprintf(stderr, "warning: %s cannot be read, so its directory and registries are unknown; run berth plan to see why\n", cmp.Or(i.Config, root.Path(reconcile.ConfigFile)))
		return "", nil, config.Default().RoleAnnotations(), false
	}
	return cfg.Containerd.CertsDir, desired.KubeletImages(cfg, reconcile.Inspect(ctx, i.machine(root))), cfg.RoleAnnotations(), true
}
