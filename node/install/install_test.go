package install_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/fakenode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a node; each run gets an installer of its own.
type bed struct {
	t *testing.T
	*fakenode.Node
	o      install.Options
	said   []string
	before map[string]string
}

func makeBed(t *testing.T, shape string) *bed {
	t.Helper()
	shapes, err := fakenode.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(shapes, func(s fakenode.Shape) bool { return s.Name == shape })
	if i < 0 {
		t.Fatalf("no shape %s", shape)
	}
	return bedOf(t, shapes[i].Archive)
}

func bedOf(t *testing.T, archive []byte) *bed {
	t.Helper()
	dir := t.TempDir()
	n, err := fakenode.Make(dir, archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	program := filepath.Join(dir, "provider")
	release(t, program, "#!/bin/sh\n# the provider\n")
	b := &bed{t: t, Node: n}
	b.o = install.Options{
		Services: n, Runtime: n.Runtime, Programs: []string{program}, SettleTime: time.Millisecond,
		Say: func(line string) { b.said = append(b.said, line) },
	}
	b.before = b.tree()
	return b
}

// release writes a provider to install, and the program that belongs to it.
func release(t *testing.T, program, content string) {
	t.Helper()
	for _, file := range []string{program, filepath.Join(filepath.Dir(program), providerconfig.Fetcher)} {
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bed) tree() map[string]string {
	b.t.Helper()
	tree, err := b.Tree()
	if err != nil {
		b.t.Fatal(err)
	}
	return tree
}

func (b *bed) installer() *install.Installer {
	b.t.Helper()
	in, err := install.New(b.Machine(), b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return in
}

// do plans and carries out the plan, which it returns.
func (b *bed) do(parts install.Parts, plan func(*install.Installer, context.Context, install.Parts) (install.Plan, error)) (install.Plan, error) {
	b.t.Helper()
	b.said = nil
	in := b.installer()
	p, err := plan(in, b.t.Context(), parts)
	if err != nil {
		b.t.Fatal(err)
	}
	return p, in.Do(b.t.Context(), p)
}

func (b *bed) install() install.Plan {
	b.t.Helper()
	p, err := b.do(install.Parts{}, (*install.Installer).Install)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bed) uninstall() install.Plan {
	b.t.Helper()
	p, err := b.do(install.Parts{}, (*install.Installer).Uninstall)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// wired checks that the node is wired.
func (b *bed) wired() {
	b.t.Helper()
	v, err := b.CheckContainerd()
	if err != nil || !v.Honoured {
		b.t.Errorf("hosts.toml files are not honoured: %v %v", v.Issues, err)
	}
	if err := b.CheckKubelet(); err != nil {
		b.t.Error(err)
	}
	flags, err := b.NextFlags()
	if err != nil || flags.Config == "" {
		b.t.Errorf("kubelet has no provider: %v", err)
		return
	}
	for _, name := range providerconfig.Programs() {
		if _, err := os.Stat(filepath.Join(b.Path(flags.Dir), name)); err != nil {
			b.t.Error(err)
		}
	}
}

// asBefore checks that nothing of Berth is left.
func (b *bed) asBefore() {
	b.t.Helper()
	if diff := fakenode.Diff(b.before, b.tree()); len(diff) > 0 {
		b.t.Errorf("not as before:\n%s", strings.Join(diff, "\n"))
	}
}

func (b *bed) read(name string) string {
	b.t.Helper()
	raw, err := os.ReadFile(b.Path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

func (b *bed) write(name, content string) {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(b.Path(name)), 0o755), os.WriteFile(b.Path(name), []byte(content), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

func shown(t *testing.T, p install.Plan) string {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out, func(_, text string) string { return text }); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEveryShape(t *testing.T) {
	shapes, err := fakenode.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range shapes {
		t.Run(shape.Name, func(t *testing.T) {
			b := bedOf(t, shape.Archive)
			runs := 1
			if strings.Contains(string(shape.Archive), "absent") {
				runs = 0
			}
			b.install()
			b.wired()
			for _, unit := range []string{fakenode.Containerd, fakenode.Kubelet} {
				if b.Restarted[unit] != runs {
					t.Errorf("%s was restarted %d times, want %d", unit, b.Restarted[unit], runs)
				}
			}
			after := b.tree()
			if p := b.install(); p.Needed() {
				t.Errorf("a second run wants:\n%s", shown(t, p))
			}
			if diff := fakenode.Diff(after, b.tree()); len(diff) > 0 {
				t.Errorf("a second run changes:\n%s", strings.Join(diff, "\n"))
			}
			b.uninstall()
			b.asBefore()
			for _, unit := range []string{fakenode.Containerd, fakenode.Kubelet} {
				if b.Restarted[unit] != 2*runs {
					t.Errorf("%s was restarted %d times, want %d", unit, b.Restarted[unit], 2*runs)
				}
			}
			if p := b.uninstall(); p.Needed() {
				t.Errorf("a second run wants:\n%s", shown(t, p))
			}
			b.asBefore()
		})
	}
}

// A file that was edited since loses only what was added to it.
func TestEditedSince(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	const config = "/etc/containerd/config.toml"
	edited := strings.Replace(b.read(config), "/usr/lib/cni", "/opt/cni/bin", 1) + "# mine\n"
	b.write(config, edited)
	if p := b.install(); p.Needed() {
		t.Errorf("an edit elsewhere needs nothing:\n%s", shown(t, p))
	}
	b.uninstall()
	want := strings.Replace(strings.TrimPrefix(b.before[config], "-rw-r--r-- "), "/usr/lib/cni", "/opt/cni/bin", 1) + "# mine\n"
	if got := b.read(config); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if p := b.uninstall(); p.Needed() {
		t.Errorf("still:\n%s", shown(t, p))
	}

	b = makeBed(t, "none-yaml")
	b.install()
	const providers = "/etc/kubernetes/providers.yaml"
	b.write(providers, strings.Replace(b.read(providers), "10m #", "20m #", 1))
	b.uninstall()
	if got, want := b.read(providers), strings.Replace(strings.TrimPrefix(b.before[providers], "-rw-r--r-- "), "10m #", "20m #", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := os.Stat(b.Path("/opt/providers/" + providerconfig.Provider)); err == nil {
		t.Error("the program is still there, and nothing names it")
	}

	// The other providers were removed: without ours kubelet would not start.
	b = makeBed(t, "none-yaml")
	b.install()
	text := b.read(providers)
	b.write(providers, text[:strings.Index(text, "  # the only one")]+text[strings.Index(text, "  - name: berth"):])
	before := b.tree()
	if _, err := b.do(install.Parts{Kubelet: true}, (*install.Installer).Uninstall); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v", err)
	}
	if diff := fakenode.Diff(before, b.tree()); len(diff) > 0 {
		t.Errorf("changed: %v", diff)
	}
}

// A broken kubelet does not prevent that containerd is undone.
func TestUninstallDoesWhatItCan(t *testing.T) {
	ofContainerd := func(tree map[string]string) map[string]string {
		maps.DeleteFunc(tree, func(name, _ string) bool { return !strings.HasPrefix(name, "/etc/containerd") })
		return tree
	}
	for name, broken := range map[string]func(*bed){
		"its plan is refused": func(b *bed) {
			b.write("/etc/kubernetes/providers.yaml", "kind: CredentialProviderConfig\nproviders: [{name: berth-credential-provider}]\n")
		},
		"its restart fails": func(b *bed) {
			b.Fail = func(unit string, _ int) error {
				if unit == fakenode.Kubelet {
					return errors.New("it is broken")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := makeBed(t, "none-yaml")
			b.install()
			before := ofContainerd(maps.Clone(b.before))
			if len(fakenode.Diff(before, ofContainerd(b.tree()))) == 0 {
				t.Fatal("nothing of containerd was changed")
			}
			broken(b)
			_, err := b.do(install.Parts{}, (*install.Installer).Uninstall)
			if err == nil || !strings.Contains(err.Error(), "kubelet: ") || strings.Contains(err.Error(), "containerd: ") {
				t.Errorf("%v", err)
			}
			if diff := fakenode.Diff(before, ofContainerd(b.tree())); len(diff) > 0 {
				t.Errorf("containerd is not as before: %v", diff)
			}
			// The rest is not forgotten: a later run does it.
			if name == "its restart fails" {
				b.Fail = nil
				b.uninstall()
				b.asBefore()
			}
		})
	}
}

// A directory that was configured instead of ours is foreign.
func TestTheirConfigPath(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	const config = "/etc/containerd/config.toml"
	b.write(config, strings.Replace(b.read(config), "/etc/containerd/certs.d", "/srv/certs.d", 1))
	edited := b.read(config)
	b.uninstall()
	if got := b.read(config); got != edited {
		t.Errorf("changed:\n%s", got)
	}
}

// A restart that fails is undone, and the error has both causes.
func TestRollback(t *testing.T) {
	for _, test := range []struct {
		name, shape, unit string
		fails             int // restarts
		back              bool
	}{
		{"containerd", "debian-kubeadm", fakenode.Containerd, 1, true},
		{"a drop-in of containerd", "pair-merged-json", fakenode.Containerd, 1, true},
		{"containerd for good", "debian-kubeadm", fakenode.Containerd, 9, false},
		{"kubelet with new flags", "debian-kubeadm", fakenode.Kubelet, 1, true},
		{"kubelet with another provider", "pair-merged-json", fakenode.Kubelet, 1, true},
		{"kubelet for good", "directory", fakenode.Kubelet, 9, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := makeBed(t, test.shape)
			parts := install.Parts{Containerd: test.unit == fakenode.Containerd, Kubelet: test.unit == fakenode.Kubelet}
			b.Fail = func(unit string, nth int) error {
				if unit == test.unit && nth <= test.fails {
					return errors.New("it broke")
				}
				return nil
			}
			_, err := b.do(parts, (*install.Installer).Install)
			back, ok := errors.AsType[*install.RollbackError](err)
			if !ok || (back.Err == nil) != test.back || !strings.Contains(back.Cause.Error(), "it broke") {
				t.Fatalf("%v", err)
			}
			if b.Restarted[test.unit] != 2 {
				t.Errorf("%d restarts", b.Restarted[test.unit])
			}
			if test.back {
				b.asBefore()
				return
			}
			// The next run does what could not be checked.
			b.Fail = nil
			if _, err := b.do(parts, (*install.Installer).Install); err != nil {
				t.Error(err)
			}
			b.uninstall()
			b.asBefore()
		})
	}
}

// Other settings of kubelet's command stay in effect, also those that are written later.
func TestOthersFlags(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	drop := b.read("/etc/systemd/system/kubelet.service.d/99-berth.conf")
	for _, want := range []string{"$KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS --image", "ExecStart=\n"} {
		if !strings.Contains(drop, want) {
			t.Errorf("%q is not in\n%s", want, drop)
		}
	}
	// The command below ours changes, as in an upgrade of the package.
	b.write("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet --new $KUBELET_EXTRA_ARGS\n")
	b.install()
	b.wired()
	if drop := b.read("/etc/systemd/system/kubelet.service.d/99-berth.conf"); !strings.Contains(drop, "--new $KUBELET_EXTRA_ARGS --image") {
		t.Errorf("the new command is not followed:\n%s", drop)
	}
	// Flags that were added since are foreign: ours must not hide them.
	b.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--image-credential-provider-config=/etc/own.yaml --image-credential-provider-bin-dir=/opt/own\n")
	b.write("/etc/own.yaml", "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders:\n- name: own\n")
	b.write("/opt/own/own", "#!")
	if err := os.Chmod(b.Path("/opt/own/own"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.install()
	b.wired()
	if flags, _ := b.NextFlags(); flags.Config != "/etc/own.yaml" {
		t.Errorf("kubelet is told of %s", flags.Config)
	}
	if got := b.read("/etc/own.yaml"); !strings.Contains(got, "- name: own\n- name: berth-credential-provider\n") {
		t.Errorf("not added:\n%s", got)
	}
}
