//go:build e2e

package images

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// runnable makes a layout with images for this machine. Those after the first one share its layers.
func runnable(t *testing.T, dir string, names ...string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	to, err := layout.Write(dir, empty.Index)
	must(err)
	base, err := random.Image(400<<10, 4)
	must(err)
	for i, full := range names {
		extra, err := random.Layer(200<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		must(err)
		image, err := mutate.AppendLayers(base, extra)
		must(err)
		config, err := image.ConfigFile()
		must(err)
		config.OS, config.Architecture = "linux", runtime.GOARCH
		image, err = mutate.ConfigFile(image, config)
		must(err)
		name := map[string]string{"org.opencontainers.image.ref.name": full}
		if i%2 == 0 {
			must(to.AppendImage(image, layout.WithAnnotations(name)))
			continue
		}
		index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
		must(to.AppendIndex(index, layout.WithAnnotations(name)))
	}
}

// TestLoadKilled kills berth images load ten times while it loads into Debian's containerd. The
// next run goes on, and then every image is complete and unpacked.
func TestLoadKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	const images = 6
	names := []string{}
	for i := range images {
		names = append(names, fmt.Sprintf("quay.io/acme/app%d:v1", i))
	}
	runnable(t, dir, names...)
	socket := startContainerd(t)
	load := func() *exec.Cmd {
		return exec.CommandContext(t.Context(), berth(t), "images", "load", "--runtime-endpoint", socket, dir)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		cmd := load()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rnd.IntN(120)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed, or done
	}
	out, err := load().CombinedOutput()
	if err != nil || !strings.Contains(string(out), "there already") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = load().CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "0 images loaded, 6 there already") {
		t.Errorf("once more: %v\n%s", err, out)
	}
	check, err := exec.CommandContext(t.Context(), "ctr", "-a", socket, "-n", "k8s.io", "images", "check").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, check)
	}
	complete := 0
	for line := range strings.Lines(string(check)) {
		if strings.Contains(line, "quay.io/acme/app") {
			complete++
			if !strings.Contains(line, "complete") || !strings.HasSuffix(strings.TrimSpace(line), "true") {
				t.Errorf("not complete and unpacked: %s", line)
			}
		}
	}
	if complete != 2*images { // by tag and by digest
		t.Errorf("%d names, want %d:\n%s", complete, 2*images, check)
	}
	leases, err := exec.CommandContext(t.Context(), "ctr", "-a", socket, "-n", "k8s.io", "leases", "ls", "-q").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, leases)
	}
	t.Logf("leases of killed runs: %q", strings.Fields(string(leases)))
}

// TestLoadExamples runs the examples of the help, against a containerd of the test.
func TestLoadExamples(t *testing.T) {
	socket := startContainerd(t)
	work := t.TempDir()
	runnable(t, filepath.Join(work, "usb-stick"), "registry.k8s.io/pause:3.10.2", "quay.io/acme/app:v1")
	bundleOf(t, filepath.Join(work, "usb-stick"), filepath.Join(work, "images", "all.tar.zst"))
	help, err := exec.CommandContext(t.Context(), berth(t), "images", "load", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	ran := 0
	for line := range strings.Lines(string(help)) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "  berth images load ") || strings.Contains(line, "[") {
			continue
		}
		// The directory of the node is the test's.
		last := len(words) - 1
		words[last] = strings.Replace(words[last], "/var/lib/berth-images", filepath.Join(work, "images"), 1)
		cmd := exec.CommandContext(t.Context(), berth(t), append(words[1:], "--runtime-endpoint", socket)...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "loaded") {
			t.Errorf("%s%v\n%s", line, err, out)
		}
		ran++
	}
	if ran != 3 {
		t.Errorf("%d examples in\n%s", ran, help)
	}
}

// bundleOf copies a layout to a bundle.
func bundleOf(t *testing.T, dir, file string, flags ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), berth(t), append([]string{"images", "copy", "--from", "oci:" + dir, "--to", file}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestLoadDirectory loads a directory of bundles: a broken one is named and the others are loaded, and
// with --follow what is added is loaded too.
func TestLoadDirectory(t *testing.T) {
	socket := startContainerd(t)
	work := t.TempDir()
	dir := filepath.Join(work, "images")
	one, two := filepath.Join(work, "one"), filepath.Join(work, "two")
	runnable(t, one, "quay.io/acme/app:v1", "quay.io/acme/db:v1")
	runnable(t, two, "quay.io/acme/app:v1", "quay.io/acme/web:v1") // another app:v1
	bundleOf(t, one, filepath.Join(dir, "a.tar.zst"))
	bundleOf(t, two, filepath.Join(dir, "b.tar"))
	whole, err := os.ReadFile(filepath.Join(dir, "b.tar"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("c.tar", whole[:len(whole)/2]) // as while cp writes it
	load := func(args ...string) (string, error) {
		args = append([]string{"images", "load", "--runtime-endpoint", socket}, args...)
		out, err := exec.CommandContext(t.Context(), berth(t), args...).CombinedOutput()
		return string(out), err
	}
	wants := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("no %q in\n%s", part, out)
			}
		}
	}
	out, err := load(dir)
	if err == nil {
		t.Error("exit code 0 for a file that is cut off")
	}
	wants(out, "3 images loaded, 0 there already\n", "c.tar: has no table of contents at its end: it is cut off; copy the file again\n",
		"replaced  quay.io/acme/app:v1 of "+filepath.Join(dir, "a.tar.zst")+" by that of "+filepath.Join(dir, "b.tar")+"\n")
	if err := os.Remove(filepath.Join(dir, "c.tar")); err != nil {
		t.Fatal(err)
	}
	if out, err = load(dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wants(out, "0 images loaded, 3 there already\n")
	if out, err = load(filepath.Join(dir, "b.tar"), filepath.Join(dir, "a.tar.zst"), "quay.io/acme/web:v1"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wants(out, "0 images loaded, 1 there already\n")
	if out, err = load(work + "/none.tar"); err == nil || !strings.Contains(out, "none.tar") {
		t.Errorf("no such file: %v\n%s", err, out)
	}

	cmd := exec.Command(berth(t), "images", "load", "--runtime-endpoint", socket, "--follow", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	follows := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("berth images load --follow ended before %q", want)
	}
	follows("0 images loaded, 3 there already")
	three := filepath.Join(work, "three")
	runnable(t, three, "quay.io/acme/late:v1")
	bundleOf(t, three, filepath.Join(dir, "d.tar.zst"))
	follows("1 image loaded, 3 there already")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Errorf("after the signal: %s", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("--follow ends with %v", err)
	}
}
