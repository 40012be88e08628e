// Package controlplane runs the real control plane of Kubernetes on loopback: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler, with all their files in one directory.
//
// A client has a token from a file; [Plane.Kubeconfig] writes its configuration. Every process ends
// with this one.
package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options name the programs.
type Options struct {
	Etcd string // path of etcd
	Bin  string // directory of the others
}

// User is a user that the API server knows.
type User struct {
	Name   string
	Groups string // separated by commas
}

// The users. A node is one of them, see [Node].
var (
	admin     = User{"admin", "system:masters"}
	manager   = User{"system:kube-controller-manager", ""}
	scheduler = User{"system:kube-scheduler", ""}
)

// Node returns the user of the kubelet with this name.
func Node(name string) User { return User{"system:node:" + name, "system:nodes"} }

// Plane is a running control plane.
type Plane struct {
	dir       string
	port      string
	tokens    map[User]string
	processes []*process // in the order of their start
}

// Start starts everything and returns when the API server is ready and its default service account
// exists. users can log in beside the administrator. An error contains the end of a log. The caller
// must call Close.
func Start(ctx context.Context, o Options, users ...User) (*Plane, error) {
	dir, err := os.MkdirTemp("", "berth-plane-")
	if err != nil {
		return nil, err
	}
	p := &Plane{dir: dir, tokens: map[User]string{}}
	if err := p.start(ctx, o, append(users, admin, manager, scheduler)); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) start(ctx context.Context, o Options, users []User) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	p.port = ports[0]
	if err := p.writeTokens(users); err != nil {
		return err
	}
	key, err := p.writeKey()
	if err != nil {
		return err
	}
	client, peer := "http://127.0.0.1:"+ports[1], "http://127.0.0.1:"+ports[2]
	err = p.run(o.Etcd, "--data-dir", p.file("etcd"), "--name", "one",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one="+peer,
		"--logger", "zap", "--log-outputs", "stderr")
	if err != nil {
		return err
	}
	err = p.run(filepath.Join(o.Bin, "kube-apiserver"),
		"--etcd-servers", client,
		"--secure-port", p.port, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
		"--cert-dir", p.file("certs"),
		"--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--token-auth-file", p.file("tokens.csv"),
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--allow-privileged",
		"--service-cluster-ip-range", "10.0.0.0/24",
		"--endpoint-reconciler-type", "none")
	if err != nil {
		return err
	}
	if err := p.ready(ctx); err != nil {
		return err
	}
	for name, user := range map[string]User{"kube-controller-manager": manager, "kube-scheduler": scheduler} {
		config, err := p.Kubeconfig(user)
		if err != nil {
			return err
		}
		args := []string{"--kubeconfig", config, "--leader-elect=false", "--secure-port", "0"}
		if name == "kube-controller-manager" {
			// The pods of a DaemonSet and of a Deployment need no other controllers. A node of which no
			// kubelet reports stays as it is for longer than a test.
			args = append(args, "--use-service-account-credentials", "--root-ca-file", p.CA(),
				"--node-monitor-grace-period", "1h", "--node-startup-grace-period", "1h",
				"--controllers", strings.Join([]string{
					"daemonset-controller", "deployment-controller", "replicaset-controller",
					"serviceaccount-controller", "root-ca-certificate-publisher-controller",
					"garbage-collector-controller", "node-lifecycle-controller", "taint-eviction-controller",
					"pod-garbage-collector-controller", "validatingadmissionpolicy-status-controller",
				}, ","))
		}
		if err := p.run(filepath.Join(o.Bin, name), args...); err != nil {
			return err
		}
	}
	return p.until(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
}

// ready waits until the API server reports that it is ready.
func (p *Plane) ready(ctx context.Context) error { return p.until(ctx, "/readyz") }

// until waits until the API server answers 200 at a path.
func (p *Plane) until(ctx context.Context, path string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it is on loopback, with its own certificate
		DisableKeepAlives: true,
	}}
	var last error
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+path, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+p.tokens[admin])
		response, err := client.Do(request)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %s", path, response.Status)
		}
		last = err
		for _, one := range p.processes {
			if one.ended() {
				return fmt.Errorf("%s has ended:\n%s", one.name, one.tail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the control plane is not ready: %w (%w)\n%s", last, ctx.Err(), p.Logs())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// URL returns the address of the API server.
func (p *Plane) URL() string { return "https://127.0.0.1:" + p.port }

// Kubeconfig writes the configuration of a client and returns its path.
func (p *Plane) Kubeconfig(u User) (string, error) {
	token, ok := p.tokens[u]
	if !ok {
		return "", fmt.Errorf("the API server does not know %s", u.Name)
	}
	file := p.file(strings.NewReplacer(":", "-", "/", "-").Replace(u.Name) + ".kubeconfig")
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: it, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: it, user: {token: %q}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
current-context: it
`, p.URL(), token)
	return file, os.WriteFile(file, []byte(content), 0o600)
}

// Admin returns the configuration of a client with all permissions.
func (p *Plane) Admin() (string, error) { return p.Kubeconfig(admin) }

// Logs returns the ends of all logs.
func (p *Plane) Logs() string {
	var all strings.Builder
	for _, one := range p.processes {
		fmt.Fprintf(&all, "== %s\n%s\n", one.name, one.tail())
	}
	return all.String()
}

// Close ends the processes, the last one first, and removes their files.
func (p *Plane) Close() error {
	for i := len(p.processes) - 1; i >= 0; i-- {
		p.processes[i].kill()
	}
	return os.RemoveAll(p.dir)
}

func (p *Plane) file(name string) string { return filepath.Join(p.dir, name) }

func (p *Plane) writeTokens(users []User) error {
	var lines strings.Builder
	for i, u := range users {
		p.tokens[u] = rand.Text()
		fmt.Fprintf(&lines, "%s,%s,%d,%q\n", p.tokens[u], u.Name, i, u.Groups)
	}
	return os.WriteFile(p.file("tokens.csv"), []byte(lines.String()), 0o600)
}

// writeKey makes the key that signs the tokens of service accounts.
func (p *Plane) writeKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	file := p.file("service-accounts.key")
	return file, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// freePorts finds ports on which nothing listens. They stay free for a moment, because the kernel
// hands out other ports first.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only when all are found, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
