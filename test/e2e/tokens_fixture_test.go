package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
)

// The registries of the scenarios, on ports of their own, and the hosts of their token servers.
const (
	tokenMirror   = "mirror.example.com:8443"
	tokenRegistry = "registry.example.com:8443"
	ofTheDomain   = "auth.example.com"
	elsewhere     = "tokens.elsewhere.test"
)

// tokenNode is a node whose registries accept only tokens.
type tokenNode struct {
	*fixture
	env        []string // of Berth
	toServer   bool     // this containerd sends the header to token servers
	tokens     map[string]*registry.TokenServer
	registries map[string]*registry.Registry // by name:port
	content    *upstream.Content             // of Docker Hub
	hub        *layerSource
	ca         *pki.CA // of the registries
	caFile     string
}

// newTokenNode returns a node of which Berth sees the containerd that runs, if seen is set.
func newTokenNode(s *fixture, seen bool) *tokenNode {
	s.Helper()
	n := &tokenNode{
		fixture: s, tokens: map[string]*registry.TokenServer{}, registries: map[string]*registry.Registry{},
		content: upstream.NewContent(), ca: s.authority("of the registries"),
	}
	n.caFile = s.file("ca.pem", string(n.ca.PEM()))
	n.toServer = s.release.HeaderToTokenServer()
	dir := filepath.Dir(s.root)
	n.env = append(s.proxy.Env(), "SSL_CERT_FILE="+filepath.Join(dir, "roots.pem"), "SSL_CERT_DIR="+filepath.Join(dir, "none"),
		"HOME="+s.TempDir(), "PATH="+os.Getenv("PATH"), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	n.hub = &layerSource{Decoy: s.decoys[hub]}
	s.decoys[hub].Answer(n.hub.of(n.content))
	s.claimed[s.decoys[hub]] = true
	if seen {
		n.link(n.pid(), "1") // so that Berth looks at processes
	}
	return n
}

func (n *tokenNode) pid() string {
	n.Helper()
	id, err := n.daemon.Identity()
	if err != nil {
		n.Fatal(err)
	}
	return strings.Fields(id)[0]
}

// link makes processes of this machine processes of the node: other daemons run beside this one.
func (n *tokenNode) link(pids ...string) {
	n.Helper()
	for _, pid := range pids {
		proc := filepath.Join(n.root, "proc")
		if err := os.MkdirAll(proc, 0o755); err != nil {
			n.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("/proc", pid), filepath.Join(proc, pid)); err != nil {
			n.Fatal(err)
		}
	}
}

// tokenServer returns the token server at host, which is started at its first use.
func (n *tokenNode) tokenServer(host string) *registry.TokenServer {
	n.Helper()
	if t, ok := n.tokens[host]; ok {
		return t
	}
	t, err := registry.NewTokenServer(robot, password)
	if err != nil {
		n.Fatal(err)
	}
	n.tokens[host] = t
	n.claimed[n.behindProxy(host, t)] = true
	return t
}

// start starts docker-registry at name, with a token server at realm. It replaces an earlier one.
func (n *tokenNode) start(name, realm string) *registry.Registry {
	n.Helper()
	bare, _, _ := strings.Cut(name, ":")
	r := n.registry(registry.Options{CA: n.ca, Name: bare, Tokens: n.tokenServer(realm), Realm: "https://" + realm + "/token"})
	n.proxy.Forward(name, r.Addr())
	n.registries[name] = r
	return r
}

// entry is the entry of registries for name, with the login.
func (n *tokenNode) entry(name, more string) string {
	return fmt.Sprintf("- {host: %q, username: %s, password: %q, tls: {caFile: %q}%s}\n", name, robot, password, n.caFile, more)
}

// berth runs a verb and returns what it prints.
func (n *tokenNode) berthSays(want int, args ...string) string {
	n.Helper()
	cmd := exec.CommandContext(n.Context(), n.berth, args...)
	cmd.Env = n.env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	_ = cmd.Run() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != want && want >= 0 {
		n.Fatalf("berth %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, want, indent(output.String()))
	}
	if strings.Contains(output.String(), password) || strings.Contains(output.String(), basic(robot, password)) {
		n.Errorf("berth %s shows the login:\n%s", args[0], indent(output.String()))
	}
	return output.String()
}

// hasHeader reports whether the hosts.toml for an upstream has the login for a registry.
func (n *tokenNode) hasHeader(upstream string) bool {
	dir := upstream
	if name, port, ok := strings.Cut(upstream, ":"); ok {
		dir = name + "_" + port + "_"
	}
	return strings.Contains(n.hostsFile(dir), basic(robot, password))
}

// tokenTrace is the part of a report that is compared.
type tokenTrace struct {
	Verdict traceVerdict
	Notes   []struct{ ID, Remedy string }
	Hosts   []struct{ URL, TokenServer, TokenLogin string }
}

// traced runs berth trace for the daemon.
func (n *tokenNode) traced(ref string) tokenTrace {
	n.Helper()
	proc := filepath.Join(n.TempDir(), "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		n.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("/proc", n.pid()), filepath.Join(proc, n.pid())); err != nil {
		n.Fatal(err)
	}
	output := n.berthSays(-1, "trace", "--proc", proc, "--config", n.config, "--timeout", "5s", "-o", "json", ref)
	var reports []tokenTrace
	if err := json.Unmarshal([]byte(output[max(0, strings.Index(output, "[")):]), &reports); err != nil || len(reports) != 1 {
		n.Fatalf("berth trace: %v\n%s", err, output)
	}
	n.Cleanup(func() {
		if n.Failed() {
			n.Log(output)
		}
	})
	return reports[0]
}

// logins counts the logins at a token server so far.
func (n *tokenNode) logins(host string) int {
	if n.tokens[host] == nil {
		return 0
	}
	return len(n.tokens[host].Logins())
}

// pulled pulls without a credential and returns the host that served the layers, "" for none.
func (n *tokenNode) pulled(ref string, img sample.Image) string {
	n.Helper()
	return n.pulledAs(ref, nil, img)
}

// pulledAs is pulled with what kubelet passes.
func (n *tokenNode) pulledAs(ref string, passed *containerd.Credential, img sample.Image) string {
	n.Helper()
	before := n.hub.blobs()
	got, err := n.daemon.Pull(n.Context(), ref, passed)
	if err != nil {
		return ""
	}
	if got.ID != img.Blobs[0] {
		n.Fatalf("pull %s: got image %s, want %s", ref, got.ID, img.Blobs[0])
	}
	var served []string
	if n.hub.blobs() > before {
		served = append(served, hub)
	}
	for name, r := range n.registries {
		requests, err := r.Served(n.Context())
		if err != nil {
			n.Fatal(err)
		}
		if slices.ContainsFunc(requests, func(q registry.Request) bool {
			return q.Status == 200 && strings.HasSuffix(q.URI, img.Blobs[1]) || q.Status == 200 && strings.Contains(q.URI, img.Blobs[1]+"?")
		}) {
			served = append(served, name)
		}
	}
	if len(served) != 1 {
		n.Fatalf("pull %s: layers came from %q", ref, served)
	}
	return served[0]
}
