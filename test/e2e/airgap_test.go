package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	registries "github.com/berth-registry/berth/test/fakes/internet"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/images/served"
	"github.com/berth-registry/berth/test/isolate"
	"github.com/berth-registry/berth/test/sample"
	"github.com/berth-registry/berth/test/walkthrough"
)

// TestAirGap follows docs/air-gap.md. The outside is this network namespace, with the registries of
// the Internet. The inside is a node with a containerd in a network namespace that has loopback and
// no route; its only way out is a proxy that counts, and refuses, each request. A directory is the
// stick.
func TestAirGap(t *testing.T) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/air-gap.md")
	if err != nil {
		t.Fatal(err)
	}
	// The chapters after this heading are for particular cases.
	walk, _, found := strings.Cut(string(page), "\n## Berth's own image\n")
	if !found {
		t.Fatal("docs/air-gap.md: the heading after the chapters with commands has another name")
	}
	berth, pause := berthBinary(t), goBuild(t, "./test/sample/pause")
	for _, program := range set.Containerd {
		t.Run(program.Version, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, set, program, berth, pause)
			steps, problems := walkthrough.Walk(t.Context(), walk, s)
			for _, step := range steps {
				t.Logf("%s(%s, %s)\n%s", step.Text, step.Info, step.Took.Round(time.Millisecond), step.Printed)
			}
			for _, p := range problems {
				t.Error(p)
			}
			if !t.Failed() {
				s.checkNotices(walk)
				s.check()
			}
		})
	}
}

// rkeImages is what rke prints for config --system-images, with a line of its log.
const rkeImages = `time="2021-03-30T09:12:44Z" level=info msg="Generating images list for version [v1.19.3-rancher1-1]:"
rancher/mirrored-coreos-etcd:v3.4.13-rancher1
rancher/rke-tools:v0.1.66
rancher/hyperkube:v1.19.3-rancher1
rancher/mirrored-coredns-coredns:1.7.0
` + rkePause + `
rancher/mirrored-calico-node:v3.16.1
quay.io/coreos/flannel:v0.13.0
weaveworks/weave-kube:2.7.0
noiro/cnideploy:5.1.1.0.1ae238a
`

const rkePause = "rancher/mirrored-pause:3.2"

// redisImages are those of the operator, before and after the upgrade.
var redisImages = []string{
	"redislabs/operator:7.2.4-7", "redislabs/k8s-controller:7.2.4-7", "redislabs/redis:7.2.4-64",
	"redislabs/operator:7.4.2-2", "redislabs/k8s-controller:7.4.2-2", "redislabs/redis:7.4.2-54",
}

// site is the two sides of an air gap.
type site struct {
	*fixture // its daemon is the node's
	dir      string
	outside  *registries.Internet
	network  *os.File // the network namespace of the inside
	wayOut   *upstream.Decoy
	calls    <-chan call
	pod      *pod
	started  []string // images of which a container was started
	noPins   bool     // containerd does not know pinned images
	notices  int      // times that a command said so
}

func newSite(t *testing.T, set parts.Set, program parts.Containerd, berth, pause string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "gap") // the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	s := &site{dir: dir, noPins: program.Version == "1.6.20", fixture: &fixture{T: t, daemonFixture: &daemonFixture{berth: berth, pause: pause}}}
	for _, sub := range []string{"outside", "stick", "home", "bin", "node/etc/berth", "node/var/lib", "node/run/containerd"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	s.startOutside()
	must(t, isolate.Network("link set lo up\n", func() error { return s.startInside(set, program) }))
	if t.Failed() {
		t.FailNow()
	}
	s.programs()
	return s
}

// startOutside serves the images of the page under the names of their registries.
func (s *site) startOutside() {
	s.Helper()
	hub, quay := upstream.NewContent(), upstream.NewContent()
	_, list, _ := strings.Cut(rkeImages, "\n")
	names := append(strings.Fields(list), redisImages...)
	images, err := sample.NewProgramIndexes(s.pause, len(names))
	if err != nil {
		s.Fatal(err)
	}
	for i, name := range names {
		img := images[i]
		if path, ok := strings.CutPrefix(name, "quay.io/"); ok {
			s.push(path, img, quay)
		} else {
			s.push(name, img, hub)
		}
	}
	s.outside, err = registries.Start(s.dir, map[string]http.Handler{"registry-1.docker.io": hub, "quay.io": quay})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, s.outside.Close()) })
}

// startInside runs in the network namespace of the inside.
func (s *site) startInside(set parts.Set, program parts.Containerd) (err error) {
	if s.network, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	s.Cleanup(func() { must(s.T, s.network.Close()) })
	if s.wayOut, err = upstream.Listen("127.0.0.1", nil, upstream.Status(http.StatusForbidden)); err != nil {
		return err
	}
	s.Cleanup(func() { must(s.T, s.wayOut.Close()) })
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	s.daemon, err = containerd.Start(ctx, program, containerd.Options{
		CertsDir: filepath.Join(s.dir, "node", certsDir), SandboxImage: "docker.io/" + rkePause, Runc: set.Runc, Env: s.proxyEnv(),
	})
	if err != nil {
		return err
	}
	s.Cleanup(func() { must(s.T, s.daemon.Close()) })
	return os.Symlink(s.daemon.Socket(), filepath.Join(s.dir, "node/run/containerd/containerd.sock"))
}

// proxyEnv makes a program of the inside use the proxy that counts.
func (s *site) proxyEnv() []string {
	var env []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		env = append(env, name+"=http://"+s.wayOut.Addr())
	}
	return append(env, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
}

// berthOfTheSite shows trace the containerd of the site alone: others run on this machine.
const berthOfTheSite = `#!/bin/sh
if [ "$1" = trace ]; then
  shift
  set -- trace --proc "$DIR/proc" "$@"
fi
exec %s "$@"
`

// programs installs berth and the stand-ins.
func (s *site) programs() {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	must(s.T, os.WriteFile(filepath.Join(s.dir, "bin/berth"), fmt.Appendf(nil, berthOfTheSite, s.berth), 0o755))
	id, err := s.daemon.Identity()
	must(s.T, err)
	pid, _, _ := strings.Cut(id, " ")
	must(s.T, os.Mkdir(filepath.Join(s.dir, "proc"), 0o755))
	must(s.T, os.Symlink("/proc/"+pid, filepath.Join(s.dir, "proc", pid)))
	for _, name := range []string{"kubectl", "rke", "systemctl"} {
		must(s.T, os.Symlink(self, filepath.Join(s.dir, "bin", name)))
	}
	s.calls = listenForStandIns(s.T, filepath.Join(s.dir, "stand-in.sock"))
}

// File writes a file of the page: on the node if its name is absolute.
func (s *site) File(name, content string) error {
	path := filepath.Join(s.dir, "outside", name)
	if filepath.IsAbs(name) {
		path = filepath.Join(s.dir, "node", name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// mounts gives a command the stick and, inside, the files of the node; then it becomes the command.
const mounts = `set -e
mount -t tmpfs tmpfs /media && mkdir /media/stick && mount --bind "$DIR/stick" /media/stick
if [ "$SIDE" = inside ]; then
  for d in etc var/lib run; do mount --bind "$DIR/node/$d" "/$d"; done
fi
exec "$@"`

// command is a command at one side of the gap.
func (s *site) command(side string, args ...string) *exec.Cmd {
	args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", mounts, "sh"}, args...)
	env := []string{
		"DIR=" + s.dir, "SIDE=" + side, "PATH=" + filepath.Join(s.dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + filepath.Join(s.dir, "home"), "TMPDIR=" + s.dir, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1",
		standInSocket + "=" + filepath.Join(s.dir, "stand-in.sock"),
	}
	if side == "inside" {
		args = append([]string{"nsenter", "--net=/proc/self/fd/3"}, args...)
		env = append(env, s.proxyEnv()...)
	} else {
		env = append(env, s.outside.Env()...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Dir = filepath.Join(s.dir, "outside")
	if side == "inside" {
		cmd.ExtraFiles, cmd.Dir = []*os.File{s.network}, filepath.Join(s.dir, "home")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs commands outside, or inside.
func (s *site) Run(ctx context.Context, words []string, commands string) (string, int, error) {
	side := strings.Join(words, " ")
	if side != "" && side != "inside" {
		return "", 0, fmt.Errorf("commands that are run %q: it is not known where that is", side)
	}
	commands = strings.ReplaceAll(commands, "linux/amd64", "linux/"+runtime.GOARCH)
	cmd := s.command(side, "bash", "-euo", "pipefail", "-c", commands)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case c := <-s.calls:
			printed, err := s.standIn(c.args)
			if err != nil {
				c.reply <- answer{fmt.Sprintf("stand-in of %s: %v\n", c.args[0], err), 1}
				continue
			}
			c.reply <- answer{printed, 0}
		case err := <-ended:
			if _, ok := err.(*exec.ExitError); ok {
				err = nil
			}
			return s.withoutNotice(commands, out.String()), cmd.ProcessState.ExitCode(), err
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return "", 0, ctx.Err()
		}
	}
}

// noPinsNotice is what the page says that berth images load --pin also prints with containerd 1.6.
const noPinsNotice = "berth: --pin: this containerd does not know pinned images, kubelet's garbage collection may remove them; upgrade to containerd 1.7"

// withoutNotice returns the output that the page shows. With containerd 1.6 that is without the
// notice, which must be there; with later releases it stays, and is another output than the page's.
func (s *site) withoutNotice(commands, printed string) string {
	if !s.noPins || !strings.Contains(commands, "berth images load --pin") {
		return printed
	}
	rest, found := strings.CutSuffix(printed, noPinsNotice+"\n")
	if !found {
		return printed + "(without the notice of --pin)\n"
	}
	s.notices++
	return rest
}

// checkNotices checks that the page has the notice, and that containerd 1.6 got it.
func (s *site) checkNotices(page string) {
	s.Helper()
	if !strings.Contains(strings.Join(strings.Fields(page), " "), "`"+noPinsNotice+"`") {
		s.Errorf("docs/air-gap.md does not have the notice %q", noPinsNotice)
	}
	if want := map[bool]int{true: 2}[s.noPins]; s.notices != want {
		s.Errorf("%d commands said that pins are not known, want %d", s.notices, want)
	}
}

// standIn does what the programs of the page would do that are not here.
func (s *site) standIn(args []string) (string, error) {
	switch line := strings.Join(args, " "); line {
	case "rke config --system-images":
		return rkeImages, nil
	case "systemctl enable --now berth-images":
		return "", s.startUnit()
	case "rke up":
		_, list, _ := strings.Cut(rkeImages, "\n")
		return "", s.start(strings.Fields(list))
	case "kubectl apply -f /media/stick/redis.yaml", "kubectl apply -f /media/stick/redis-7.4.yaml":
		file := filepath.Join(s.dir, "stick", filepath.Base(args[3]))
		found, err := exec.CommandContext(s.Context(), s.berth, "images", "list", "-f", file).Output()
		if err != nil {
			return "", err
		}
		var images []string
		for line := range strings.Lines(string(found)) {
			if name := strings.TrimSpace(line); name != "" && name[0] != '#' {
				images = append(images, name)
			}
		}
		return "", s.start(images)
	default:
		return "", fmt.Errorf("%q is nothing that it knows", line)
	}
}

// startUnit starts the service as its unit says.
func (s *site) startUnit() error {
	unit, err := os.ReadFile("../../manifests/systemd/berth-images.service")
	if err != nil {
		return err
	}
	variables := map[string]string{}
	var words []string
	for line := range strings.Lines(string(unit)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Environment":
			name, value, _ := strings.Cut(strings.Trim(value, `"`), "=")
			variables[name] = value
		case "ExecStart":
			words = strings.Fields(os.Expand(value, func(name string) string { return variables[name] }))
		}
	}
	if len(words) == 0 || words[0] != "/usr/bin/berth" {
		return fmt.Errorf("the unit starts %q", words)
	}
	served.Start(s.T, s.command("inside", append([]string{"berth"}, words[1:]...)...))
	return nil
}

// start starts a container of each image in a pod, as kubelet does: it pulls the images that
// containerd does not have.
func (s *site) start(images []string) error {
	if s.pod == nil {
		s.runPod("site")
		s.pod = s.openPod()
	}
	ctx, cancel := s.pod.limit()
	defer cancel()
	for _, image := range images {
		has, err := s.pod.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
		if err != nil {
			return err
		}
		if has.GetImage() == nil {
			if _, err := s.daemon.Pull(ctx, image, nil); err != nil {
				return err
			}
		}
		s.pod.container(fmt.Sprintf("c%d", len(s.started)), image)
		s.started = append(s.started, image)
	}
	return nil
}

// check checks that all images of the page run, and that nothing inside wanted to go out.
func (s *site) check() {
	s.Helper()
	_, list, _ := strings.Cut(rkeImages, "\n")
	for _, image := range append(strings.Fields(list), redisImages...) {
		if !slices.ContainsFunc(s.started, func(name string) bool { return strings.TrimPrefix(name, "docker.io/") == image }) {
			s.Errorf("no container of %s was started", image)
		}
	}
	if asked := upstream.Lines(s.wayOut.Requests()); len(asked) > 0 {
		s.Errorf("the inside asked:\n%s", indent(strings.Join(asked, "\n")))
	}
	if refused := s.outside.Refused(); len(refused) > 0 {
		s.Errorf("the outside wanted to leave this machine: %q", refused)
	}
	// The count notices a request: of a pull without the mirror.
	before := len(s.wayOut.Requests())
	if printed, code, err := s.Run(s.Context(), []string{"inside"}, "berth restore"); code != 0 || err != nil {
		s.Fatalf("berth restore: %v\n%s", err, printed)
	}
	s.pullFails("quay.io/acme/other:v1")
	if len(s.wayOut.Requests()) == before {
		s.Error("a pull without a mirror asked nothing: the count of requests is wrong")
	}
}
