package install_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/fakenode"
)

const programDir = providerconfig.ProgramDir + "/"

// After a run that ended between a file and its restart, the next run restarts, unless the user
// has.
func TestResume(t *testing.T) {
	for _, unit := range []string{fakenode.Containerd, fakenode.Kubelet} {
		for _, other := range []bool{false, true} {
			b := makeBed(t, "debian-kubeadm")
			stopped := errors.New("stopped")
			down := false
			b.o.Step = func(what string) error {
				if down = down || what == "restart "+unit; down {
					return stopped // like a dead process, it writes nothing more
				}
				return nil
			}
			if _, err := b.do(install.Parts{}, (*install.Installer).Install); !errors.Is(err, stopped) {
				t.Fatalf("%v", err)
			}
			b.o.Step = nil
			restarted := b.Restarted[unit]
			if restarted != 0 {
				t.Fatalf("%s was restarted", unit)
			}
			if err := b.Knows(); err == nil {
				t.Fatal("the daemons know what was written without a restart")
			}
			want := 1
			if other {
				if err := b.Crash(unit); err != nil {
					t.Fatal(err)
				}
				want = 0
			}
			p := b.install()
			if b.Restarted[unit] != want {
				t.Errorf("%s, restarted by others %v: %d restarts, want %d:\n%s", unit, other, b.Restarted[unit], want, shown(t, p))
			}
			if err := b.Knows(); err != nil {
				t.Error(err)
			}
			if p := b.install(); p.Needed() {
				t.Errorf("still:\n%s", shown(t, p))
			}
			b.uninstall()
			b.asBefore()
		}
	}
}

// A file that changes after the plan was shown is left alone.
func TestChangedMeanwhile(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	in := b.installer()
	p, err := in.Install(t.Context(), install.Parts{})
	if err != nil {
		t.Fatal(err)
	}
	b.write("/etc/containerd/config.toml", "version = 2\n# mine\n")
	if err := in.Do(t.Context(), p); err == nil || !strings.Contains(err.Error(), "/etc/containerd/config.toml: was changed after it was shown") {
		t.Errorf("%v", err)
	}
	if got := b.read("/etc/containerd/config.toml"); got != "version = 2\n# mine\n" {
		t.Errorf("%s", got)
	}
	if b.Restarted[fakenode.Containerd] != 0 {
		t.Error("restarted")
	}
}

// A foreign program of the same name is used, and stays.
func TestForeignProgram(t *testing.T) {
	for _, name := range providerconfig.Programs() {
		file := programDir + name
		b := makeBed(t, "debian-kubeadm")
		b.write(file, "#!/bin/sh\n# from the chart\n")
		if err := os.Chmod(b.Path(file), 0o755); err != nil {
			t.Fatal(err)
		}
		b.before = b.tree()
		p := b.install()
		b.wired()
		if !strings.Contains(shown(t, p), file+" is a program that berth did not put there; it is used unchanged") {
			t.Errorf("%s", shown(t, p))
		}
		b.uninstall()
		b.asBefore()
	}
}

// If one of the two programs is foreign, the other one is not replaced.
func TestForeignProgramLater(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	b.write(programDir+providerconfig.Fetcher, "#!/bin/sh\n# from the chart\n")
	release(t, b.o.Programs[0], "#!/bin/sh\n# newer\n")
	p := b.install()
	if p.Needed() || strings.Contains(b.read(programDir+providerconfig.Provider), "newer") ||
		!strings.Contains(shown(t, p), programDir+providerconfig.Provider+" stays, too: both programs must be of one version") {
		t.Errorf("%s", shown(t, p))
	}
}

// The last release with one program is upgraded to two. They are removed with the directories that
// the old one recorded.
func TestUpgradeFromOneProgram(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	const journal = "/var/lib/berth/install/install.json"
	var recorded map[string]any
	if err := json.Unmarshal([]byte(b.read(journal)), &recorded); err != nil {
		t.Fatal(err)
	}
	delete(recorded["programs"].(map[string]any), programDir+providerconfig.Fetcher)
	old, err := json.Marshal(recorded)
	if err := errors.Join(err, os.WriteFile(b.Path(journal), old, 0o600), os.Remove(b.Path(programDir+providerconfig.Fetcher))); err != nil {
		t.Fatal(err)
	}
	release(t, b.o.Programs[0], "#!/bin/sh\n# newer\n")

	restarts := b.Restarted[fakenode.Kubelet]
	// A failure of the second copy leaves the old program, which works alone.
	stopped := errors.New("stopped")
	b.o.Step = func(what string) error {
		if what == "rename "+programDir+providerconfig.Fetcher {
			return stopped
		}
		return nil
	}
	if _, err := b.do(install.Parts{}, (*install.Installer).Install); !errors.Is(err, stopped) {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(b.Path(programDir + providerconfig.Fetcher)); err == nil || strings.Contains(b.read(programDir+providerconfig.Provider), "newer") {
		t.Errorf("one of two programs was replaced: %v", err)
	}
	b.o.Step = nil
	p := b.install()
	if text := shown(t, p); !strings.Contains(text, "write "+programDir+providerconfig.Fetcher) || strings.Contains(text, "it takes effect when") {
		t.Errorf("%s", text)
	}
	if b.Restarted[fakenode.Kubelet] != restarts {
		t.Error("kubelet was restarted for it")
	}
	b.wired()
	b.uninstall()
	b.asBefore()
}

// A release without the second program is refused before anything is changed.
func TestHalfARelease(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	fetcher := filepath.Join(filepath.Dir(b.o.Programs[0]), providerconfig.Fetcher)
	if err := os.Remove(fetcher); err != nil {
		t.Fatal(err)
	}
	_, err := b.do(install.Parts{Kubelet: true}, (*install.Installer).Install)
	if err == nil || !strings.Contains(err.Error(), fetcher+": is missing; copy it there from the release of ") {
		t.Errorf("%v", err)
	}
	b.asBefore()
}

// A newer program replaces the old one, without a restart.
func TestNewProgram(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	release(t, b.o.Programs[0], "#!/bin/sh\n# newer\n")
	restarts := b.Restarted[fakenode.Kubelet]
	b.install()
	for _, name := range providerconfig.Programs() {
		if got := b.read(programDir + name); !strings.Contains(got, "newer") {
			t.Errorf("%s was not replaced", name)
		}
	}
	if b.Restarted[fakenode.Kubelet] != restarts {
		t.Error("kubelet was restarted for it")
	}
	b.uninstall()
	b.asBefore()
}

// The program stays as long as a configuration names it.
func TestProgramStays(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	b.write("/etc/kubernetes/my-credential-providers.yaml", "kind: CredentialProviderConfig\nproviders:\n- name: "+providerconfig.Provider+"\n")
	p := b.uninstall()
	file := "/usr/local/libexec/berth/" + providerconfig.Provider
	if _, err := os.Stat(b.Path(file)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(shown(t, p), file+" stays: /etc/kubernetes/my-credential-providers.yaml names it") {
		t.Errorf("%s", shown(t, p))
	}
	if err := os.Remove(b.Path("/etc/kubernetes/my-credential-providers.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.Path("/etc/kubernetes")); err != nil {
		t.Fatal(err)
	}
	b.uninstall()
	b.asBefore()
}

// A killed run has removed the inner one of two directories.
func TestDirectoriesHalfGone(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.install()
	if err := os.RemoveAll(b.Path("/usr/local/libexec/berth")); err != nil {
		t.Fatal(err)
	}
	b.uninstall()
	b.asBefore()
}

// With --no-restart, the program stays until the kubelet that knows it was restarted.
func TestNoRestart(t *testing.T) {
	b := makeBed(t, "debian-kubeadm")
	b.o.NoRestart = true
	b.install()
	b.wired()
	for _, unit := range []string{fakenode.Containerd, fakenode.Kubelet} {
		if b.Restarted[unit] != 0 {
			t.Errorf("%s was restarted", unit)
		}
		if err := b.Crash(unit); err != nil {
			t.Error(err)
		}
	}
	if err := b.Knows(); err != nil {
		t.Error(err)
	}
	p := b.uninstall()
	if !strings.Contains(shown(t, p), "stays until kubelet was restarted; run this again then") {
		t.Errorf("%s", shown(t, p))
	}
	if err := b.CheckKubelet(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.Path("/usr/local/libexec/berth/" + providerconfig.Provider)); err != nil {
		t.Error(err)
	}
	if err := b.Crash(fakenode.Kubelet); err != nil {
		t.Fatal(err)
	}
	b.uninstall()
	b.asBefore()
}

// One of the two flags without the other is a foreign mistake, which is reported.
func TestHalfAPairOfFlags(t *testing.T) {
	b := makeBed(t, "stopped")
	b.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet --image-credential-provider-config=/etc/x.yaml\n")
	_, err := b.do(install.Parts{Kubelet: true}, (*install.Installer).Install)
	if err == nil || !strings.Contains(err.Error(), "needs both") {
		t.Errorf("%v", err)
	}
	b.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/bin/sh -c \"exec /usr/bin/kubelet\"\n")
	_, err = b.do(install.Parts{Kubelet: true}, (*install.Installer).Install)
	if err == nil || !strings.Contains(err.Error(), "does not start kubelet itself") {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	b := makeBed(t, "stopped")
	unlock, err := install.Lock(t.Context(), b.Machine().Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := install.Lock(context.Background(), b.Machine().Root); !errors.Is(err, nodefs.ErrLocked) {
		t.Errorf("%v", err)
	}
	unlock()
	again, err := install.Lock(t.Context(), b.Machine().Root)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// k0s restarts containerd itself: the run waits for that, and restarts nothing.
func TestK0s(t *testing.T) {
	b := bedOf(t, []byte("1.7.28\n-- etc/k0s/containerd.toml --\nversion = 2\nimports = [\"/etc/k0s/containerd.d/*.toml\", \"/run/k0s/containerd-cri.toml\"]\n-- run/k0s/containerd-cri.toml --\nversion = 2\n"))
	b.o.ReadyTimeout = time.Minute
	// 1.x reads each plugin table from one file only, so the change would have to be made in the
	// file that k0s writes.
	if _, err := b.do(install.Parts{Containerd: true}, (*install.Installer).Install); !errors.Is(err, node.ErrManaged) {
		t.Errorf("%v", err)
	}
	b = bedOf(t, []byte("2.4.2\n-- etc/k0s/containerd.toml --\nversion = 3\nimports = [\"/etc/k0s/containerd.d/*.toml\"]\n"))
	const dropIn = "/etc/k0s/containerd.d/99-berth.toml"
	k0s := func(wanted bool) (wait func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := os.Stat(b.Path(dropIn)); (err == nil) == wanted || t.Context().Err() != nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if err := b.Crash(fakenode.Containerd); err != nil {
				t.Error(err)
			}
		}()
		return func() { <-done }
	}
	wait := k0s(true)
	if _, err := b.do(install.Parts{Containerd: true}, (*install.Installer).Install); err != nil {
		t.Error(err)
	}
	wait()
	if !strings.Contains(b.read(dropIn), "/etc/k0s/containerd.d/certs.d") {
		t.Errorf("%s", b.read(dropIn))
	}
	wait = k0s(false)
	if _, err := b.do(install.Parts{Containerd: true}, (*install.Installer).Uninstall); err != nil {
		t.Error(err)
	}
	wait()
	if b.Restarted[fakenode.Containerd] != 0 {
		t.Error("restarted by us")
	}
	b.asBefore()
	_, err := b.do(install.Parts{Kubelet: true}, (*install.Installer).Install)
	if err == nil || !strings.Contains(err.Error(), "--kubelet-extra-args") {
		t.Errorf("%v", err)
	}
}
