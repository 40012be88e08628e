package kubelet

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/standalone"
)

// fixture is one scenario: a kubelet with a provider, one ECR registry, an AWS, and other registries
// that must not receive a secret.
type fixture struct {
	*testing.T
	*daemonFixture
	aws *fakeaws.Server
	ecr *ecrRegistry
	// near is the registry on loopback without TLS; far is the same behind its own name.
	near, far *upstream.Decoy
	// mirror and hub ask for a login as registries do, and have no images.
	mirror, hub   *upstream.Decoy
	naive         bool   // the provider leaks, and the test must see that
	image         string // of the pod; it is in ECR
	config        string // our configuration for kubelet: file or directory
	env           []string
	more          string // of the KubeletConfiguration
	kubelet       *standalone.Kubelet
	containerdLog int64
}

// podTime is far more than a pod on loopback takes to start, or to fail.
const podTime = 3 * time.Minute

// newFixture prepares a scenario with that name. Its image is in ECR and nowhere else; there is no
// hosts.toml and no file of berth.
func newFixture(t *testing.T, b *daemonFixture, name string) *fixture {
	t.Helper()
	s := &fixture{T: t, daemonFixture: b, aws: startAWS(t), containerdLog: b.daemon.LogSize()}
	s.image = ecrHost + "/" + name + ":v1"
	s.config = manifest(configFile)
	s.env = nodeEnv(t, s.aws)
	s.check(os.RemoveAll(b.root))
	s.check(os.MkdirAll(b.root, 0o755))
	s.check(b.proxy.Reset())

	content := upstream.NewContent()
	s.check(content.Push(t.Context(), name+":v1", b.image(t)))
	s.ecr = &ecrRegistry{aws: s.aws, content: content}
	s.near = s.listen(s.ecr)
	s.far = s.behind(ecrHost, s.ecr)
	other := upstream.Basic("nobody", "knows", upstream.Status(http.StatusNotFound))
	s.mirror = s.listen(other)
	s.hub = s.behind("registry-1.docker.io", other)

	pause := upstream.NewContent()
	s.check(pause.Push(t.Context(), "pause:e2e", b.image(t)))
	s.behind("registry.k8s.io", pause)
	t.Cleanup(s.finish)
	return s
}

func (s *fixture) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *fixture) listen(answer http.Handler) *upstream.Decoy {
	s.Helper()
	d, err := upstream.Listen("127.0.0.1", nil, answer)
	s.check(err)
	s.Cleanup(func() { must(s.T, d.Close()) })
	return d
}

func (s *fixture) behind(host string, answer http.Handler) *upstream.Decoy {
	s.Helper()
	d, err := s.proxy.Decoy(host, answer)
	s.check(err)
	return d
}

// hostsNear writes a foreign file that leads containerd to a registry on loopback in place of ECR.
func (s *fixture) hostsNear() {
	s.Helper()
	dir := filepath.Join(s.root, certsDir, ecrHost)
	s.check(os.MkdirAll(dir, 0o755))
	content := fmt.Sprintf("server = \"http://%s\"\n\n[host]\n", s.near.Addr())
	s.check(os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(content), 0o644))
}

// apply applies this RegistryConfig, given without its first two lines.
func (s *fixture) apply(config string) {
	s.Helper()
	apply(s.T, s.root, config, s.env)
}

// catchAll puts the mirror before every registry without an entry.
func (s *fixture) catchAll() string {
	return fmt.Sprintf("mirrors:\n- upstream: \"*\"\n  endpoints:\n  - url: http://%s\n", s.mirror.Addr())
}

// start starts kubelet with our provider and a pod of the image.
func (s *fixture) start() {
	s.Helper()
	n := node{args: providerFlags(s.root), runs: filepath.Join(s.TempDir(), "runs")}
	s.startWith(n.binDir(s.T))
}

func (s *fixture) startWith(binDir string) {
	s.Helper()
	config, err := filepath.Abs(s.config)
	s.check(err)
	s.kubelet, err = standalone.Start(standalone.Options{
		Program:        s.daemonFixture.kubelet.path,
		Socket:         s.daemon.Socket(),
		ProviderConfig: config,
		ProviderBinDir: binDir,
		Env:            s.env,
		More:           s.more,
	})
	s.check(err)
	s.pod("app")
}

// pod makes kubelet run a pod of the image.
func (s *fixture) pod(name string) {
	s.Helper()
	s.check(s.kubelet.Run(name, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: default}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - {name: %[1]s, image: %[2]q, imagePullPolicy: IfNotPresent}
`, name, s.image)))
}

// runs waits until the container of the pod app runs.
func (s *fixture) runs() {
	s.Helper()
	s.runsWithin("app", podTime)
}

// runsWithin is runs for a pod and a time.
func (s *fixture) runsWithin(pod string, limit time.Duration) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	for {
		ok, err := s.running(ctx, pod)
		s.check(err)
		if ok {
			return
		}
		if err := s.kubelet.Pause(ctx); err != nil {
			s.Fatalf("the pod does not run: %v", err)
		}
	}
}

// fails waits until the first pull has failed.
func (s *fixture) fails() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), podTime)
	defer cancel()
	if _, err := s.kubelet.WaitForLog(ctx, "ErrImagePull", s.image); err != nil {
		s.Fatal(err)
	}
	ok, err := s.running(ctx, "app")
	s.check(err)
	if ok {
		s.Error("the pod runs all the same")
	}
}

// leaks returns the requests that carried a credential to a host that must not have it.
func (s *fixture) leaks() []string {
	var found []string
	for name, d := range map[string]*upstream.Decoy{"mirror": s.mirror, "Docker Hub": s.hub} {
		for _, r := range d.Requests() {
			if r.Header.Get("Authorization") != "" {
				found = append(found, name+": "+r.String())
			}
		}
	}
	return found
}

// finish ends the scenario and checks the conditions that hold after each.
func (s *fixture) finish() {
	log := ""
	if s.kubelet != nil {
		must(s.T, s.kubelet.Stop())
		must(s.T, s.removePods())
		log = s.kubelet.Log()
		must(s.T, s.kubelet.Close())
	}
	noSecret(s.T, "kubelet's log", log, s.ecr.passwords()...)
	noSecret(s.T, "containerd's log", s.daemon.Log(s.containerdLog), s.ecr.passwords()...)
	if leaks := s.leaks(); s.naive != (len(leaks) > 0) {
		s.Errorf("leaks: %q; expected, because the provider is naive: %t", leaks, s.naive)
	}
	if refused := s.proxy.Refused(); len(refused) > 0 {
		s.Errorf("containerd wanted to leave the machine: %q", refused)
	}
	if n := s.aws.Count(fakeaws.MetadataV1, ""); n > 0 {
		s.Errorf("version 1 of the metadata service was asked %d times", n)
	}
	if s.Failed() {
		s.Logf("kubelet:\n%s\ncontainerd:\n%s", tail(log, 60), tail(s.daemon.Log(s.containerdLog), 30))
	}
}

func tail(log string, lines int) string {
	all := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ecrRegistry admits tokens that the fake AWS issued, and records them.
type ecrRegistry struct {
	aws     *fakeaws.Server
	content http.Handler

	mu   sync.Mutex
	seen map[string]fakeaws.Issued // by password
}

// ServeHTTP answers as ECR: a challenge without a token, 403 with a wrong one.
func (e *ecrRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, given := r.BasicAuth()
	token, ok := e.aws.Token(password)
	ok = ok && user == "AWS" && token.Service == fakeaws.ECR && token.Region == "us-east-1"
	switch {
	case ok:
		e.remember(password, token)
		e.content.ServeHTTP(w, r)
	case given:
		upstream.Status(http.StatusForbidden).ServeHTTP(w, r)
	default:
		w.Header().Set("Www-Authenticate", `Basic realm="https://`+ecrHost+`/",service="ecr.amazonaws.com"`)
		upstream.Status(http.StatusUnauthorized).ServeHTTP(w, r)
	}
}

func (e *ecrRegistry) remember(password string, token fakeaws.Issued) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = map[string]fakeaws.Issued{}
	}
	e.seen[password] = token
}

// passwords returns the tokens that were used, also in the form of a header.
func (e *ecrRegistry) passwords() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for p := range e.seen {
		all = append(all, p, base64.StdEncoding.EncodeToString([]byte("AWS:"+p)))
	}
	return all
}

// keys returns the AWS keys whose tokens were used.
func (e *ecrRegistry) keys() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]bool{}
	for _, token := range e.seen {
		all[token.KeyID] = true
	}
	return all
}
