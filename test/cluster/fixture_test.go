package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/cluster/controlplane"
	"github.com/berth-registry/berth/test/cluster/joined"
	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
)

const (
	namespace    = "kube-system"
	sandboxImage = "registry.k8s.io/pause:e2e"
	username     = "node"
	password     = "open-sesame-canary"
)

// patience is far more than any step takes, also on a slow machine.
const patience = 3 * time.Minute

// fixture is one cluster with all its registries.
type fixture struct {
	*testing.T
	programs programs
	set      parts.Set
	dir      string
	nodes    []string // their names
	root     string   // the part of startNode's node that Berth writes to
	program  string   // a static binary for images
	taints   string   // with which startNode's kubelet registers its node

	plane      *controlplane.Plane
	kubeconfig string
	daemon     *containerd.Daemon
	kubelet    *joined.Kubelet
	podLogDirs []string
	proxy      *upstream.Proxy
	aws        *fakeaws.Server

	images        *registry.Registry // plain, for Berth's own image
	first, second *registry.Registry // mirrors with TLS and a login
	ecr           *ecrstandin.Registry
	ecrContent    *registry.Registry
	hub           *upstream.Decoy
	ca            *pki.CA
}

// newFixture starts the registries and the control plane for nodes of these names, which do not exist
// yet.
func newFixture(t *testing.T, nodes ...string) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("kubelet and containerd need root: run this test as root")
	}
	w := &fixture{T: t, nodes: nodes}
	set, err := parts.Locate(t.Context())
	w.check(err)
	w.set = set
	w.programs, err = locate(t.Context())
	w.check(err)
	// Not t.TempDir: its name is too long for the path of a socket.
	w.dir, err = os.MkdirTemp("", "berth-cluster-")
	w.check(err)
	t.Cleanup(func() { w.check(os.RemoveAll(w.dir)) })
	w.root = filepath.Join(w.dir, "node")
	w.program = filepath.Join(w.dir, "pause")
	w.check(gobuild.Programs(t.Context(), filepath.Join("..", ".."), w.program, "./test/sample/pause"))
	w.ca, err = pki.New("whom the node trusts")
	w.check(err)
	w.startRegistries(set)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var users []controlplane.User
	for _, name := range nodes {
		users = append(users, controlplane.Node(name))
	}
	w.plane, err = controlplane.Start(ctx, controlplane.Options{Etcd: "/usr/bin/etcd", Bin: w.programs.kubernetes}, users...)
	w.check(err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("control plane:\n%s", w.plane.Logs())
		}
		w.check(w.plane.Close())
	})
	w.kubeconfig, err = w.plane.Admin()
	w.check(err)
	return w
}

func (w *fixture) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// startRegistries starts all registries, the Internet and AWS.
func (w *fixture) startRegistries(set parts.Set) {
	w.Helper()
	start := func(o registry.Options) *registry.Registry {
		w.Helper()
		r, err := registry.Start(w.Context(), set.Registry, o)
		w.check(err)
		w.Cleanup(func() { w.check(r.Close()) })
		return r
	}
	w.images = start(registry.Options{})
	w.first = start(registry.Options{CA: w.ca, Username: username, Password: password})
	w.second = start(registry.Options{CA: w.ca, Username: username, Password: password})
	w.ecrContent = start(registry.Options{})

	var err error
	w.aws, err = fakeaws.Start()
	w.check(err)
	w.Cleanup(func() { w.check(w.aws.Close()) })
	w.aws.SetRole("node", fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret", Session: "profile-session"})
	w.ecr, err = ecrstandin.Start(w.aws, w.ecrContent.URL())
	w.check(err)
	w.Cleanup(func() { w.check(w.ecr.Close()) })

	w.proxy, err = upstream.NewProxy(w.ca)
	w.check(err)
	w.Cleanup(func() { w.check(w.proxy.Close()) })
	for _, host := range []string{ecrHost, otherECRHost} {
		_, err = w.proxy.Decoy(host, w.ecr)
		w.check(err)
	}
	w.hub, err = w.proxy.Decoy("registry-1.docker.io", upstream.Status(http.StatusNotFound))
	w.check(err)
	pause := upstream.NewContent()
	for _, tag := range []string{"e2e", "3.8", "3.10.2"} { // the others are defaults of containerd 1.7 and 2.4
		w.check(pause.Push(w.Context(), "pause:"+tag, w.image()))
	}
	_, err = w.proxy.Decoy("registry.k8s.io", pause)
	w.check(err)
}

// startNode starts containerd and kubelet on this machine, with a credential provider if one is
// named, and waits until the node has joined.
func (w *fixture) startNode(providerConfig, providerBinDir string) {
	w.Helper()
	trusted := filepath.Join(w.root, "etc/ssl/certs")
	w.check(os.MkdirAll(trusted, 0o755))
	w.check(os.WriteFile(filepath.Join(trusted, "ours.pem"), w.ca.PEM(), 0o644))
	w.check(os.MkdirAll(filepath.Join(w.root, certsDir), 0o755))

	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var err error
	w.daemon, err = containerd.Start(ctx, w.set.Containerd[len(w.set.Containerd)-1], containerd.Options{
		CertsDir:     filepath.Join(w.root, certsDir),
		SandboxImage: sandboxImage,
		Runc:         w.set.Runc,
		Env:          append(w.proxy.Env(), "SSL_CERT_FILE="+filepath.Join(trusted, "ours.pem"), "SSL_CERT_DIR="+filepath.Join(w.dir, "none")),
	})
	w.check(err)
	w.Cleanup(func() { w.check(w.daemon.Close()) })
	w.startKubelet(providerConfig, providerBinDir)
	w.podLogDirs = []string{w.kubelet.PodLogs()}
	w.Cleanup(w.stopNode)
	w.joined()
}

func (w *fixture) joined() {
	w.Helper()
	w.until(fmt.Sprintf("%q have joined", w.nodes), func() error {
		_, err := w.try("kubectl", append([]string{"get", "node"}, w.nodes...)...)
		return err
	})
}

// startKubelet starts kubelet, with a credential provider if one is named.
func (w *fixture) startKubelet(providerConfig, providerBinDir string) {
	w.Helper()
	identity, err := w.daemon.Identity()
	w.check(err)
	number, _, _ := strings.Cut(identity, " ")
	pid, err := strconv.Atoi(number)
	w.check(err)
	config, err := w.plane.Kubeconfig(controlplane.Node(w.nodes[0]))
	w.check(err)
	w.kubelet, err = joined.Start(filepath.Join(w.dir, "kubelet"), joined.Options{
		Program:        w.programs.kubelet,
		Socket:         w.daemon.Socket(),
		Beside:         pid,
		Name:           w.nodes[0],
		Kubeconfig:     config,
		Env:            append(w.aws.Env(), "HOME="+w.dir),
		ProviderConfig: providerConfig, ProviderBinDir: providerBinDir,
		Taints: w.taints,
	})
	w.check(err)
}

// stopNode ends kubelet and all pods.
func (w *fixture) stopNode() {
	if w.Failed() {
		w.Logf("kubelet:\n%s\ncontainerd:\n%s", tail(w.kubelet.Log(), 40), tail(w.daemon.Log(0), 20))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.kubelet.Stop(ctx); err != nil {
		w.Error(err)
	}
	if err := removePods(ctx, w.daemon.Socket()); err != nil {
		w.Error(err)
	}
}

func tail(log string, lines int) string {
	all := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// image makes a new image that runs until it gets a signal to stop.
func (w *fixture) image() sample.Image {
	w.Helper()
	img, err := sample.NewProgram(w.program)
	w.check(err)
	return img
}

// try runs kubectl or helm and returns its output.
func (w *fixture) try(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	cmd := w.client(ctx, program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// client returns a command of kubectl or helm for the cluster.
func (w *fixture) client(ctx context.Context, program string, args ...string) *exec.Cmd {
	path := filepath.Join(w.programs.kubernetes, program)
	if program == "helm" {
		path = w.programs.helm
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{
		"KUBECONFIG=" + w.kubeconfig, "HOME=" + w.dir, "KUBECACHEDIR=" + filepath.Join(w.dir, "kubecache"),
		"PATH=/usr/bin:/bin", "TMPDIR=" + w.dir,
	}
	return cmd
}

func (w *fixture) kubectl(args ...string) string {
	w.Helper()
	out, err := w.try("kubectl", args...)
	w.check(err)
	return out
}

func (w *fixture) helm(args ...string) string {
	w.Helper()
	out, err := w.try("helm", args...)
	w.check(err)
	return out
}

// errNotYet is the error of a condition that has no details.
var errNotYet = errors.New("not yet")

// agentAddress returns the address on which the agent in the pod listens.
func (w *fixture) agentAddress(values map[string]any) string {
	return fmt.Sprintf("127.0.0.1:%d", values["metrics"].(map[string]any)["port"])
}

// until waits until look returns no error, and returns how long that took.
func (w *fixture) until(what string, look func() error) time.Duration {
	w.Helper()
	began := time.Now()
	for {
		err := look()
		if err == nil {
			took := time.Since(began)
			w.Logf("%s: after %.1f s", what, took.Seconds())
			return took
		}
		if time.Since(began) > patience {
			w.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		if w.kubelet != nil && w.kubelet.Exited() {
			w.Fatalf("%s: kubelet has ended: %v", what, errors.Join(err, errors.New(tail(w.kubelet.Log(), 10))))
		}
		time.Sleep(200 * time.Millisecond)
	}
}
