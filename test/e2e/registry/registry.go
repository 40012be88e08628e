// Package registry runs real docker-registry processes on loopback, each with a temporary store,
// and reads containerd's requests from their logs.
package registry

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
	"golang.org/x/crypto/bcrypt"
)

// Options choose the kind of registry. The zero value speaks plain http on 127.0.0.1 and needs no
// login.
type Options struct {
	IP                 string  // "" is 127.0.0.1; "::1" for IPv6
	Name               string  // the name in its certificate; "" is IP
	Username, Password string  // htpasswd login with bcrypt; "" is none
	CA                 *pki.CA // speak TLS with a certificate of this authority
	ClientCA           *pki.CA // and require a client certificate of this one
	// Tokens accepts only tokens of this server, whose address is Realm.
	Tokens *TokenServer
	Realm  string
}

// Registry is a running docker-registry.
type Registry struct {
	addr   string
	secure bool // speaks TLS
	dir    string
	cmd    *exec.Cmd
	target sample.Target
	read   chan struct{} // closed when the log has ended
	probes int

	mu       sync.Mutex
	log      strings.Builder
	listen   chan string
	answered []Request
}

// Request is a request that was answered, as docker-registry logged it.
type Request struct {
	Method string
	URI    string // path and query
	Status int
	Agent  string
}

// String returns method, path with query, and status.
func (r Request) String() string { return fmt.Sprintf("%s %s %d", r.Method, r.URI, r.Status) }

// Start runs program with a store in a new temporary directory and returns when it listens. The
// caller must call Close.
func Start(ctx context.Context, program string, o Options) (*Registry, error) {
	dir, err := os.MkdirTemp("", "berth-e2e-registry-")
	if err != nil {
		return nil, err
	}
	r := &Registry{dir: dir, secure: o.CA != nil, read: make(chan struct{}), listen: make(chan string, 1)}
	if err := r.start(ctx, program, o); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Registry) start(ctx context.Context, program string, o Options) error {
	o.IP = cmp.Or(o.IP, "127.0.0.1")
	transport, err := clientTransport(o)
	if err != nil {
		return err
	}
	config, err := writeConfig(r.dir, o)
	if err != nil {
		return err
	}
	r.cmd = exec.Command(program, "serve", config)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// No REGISTRY_… variable of our environment may change the configuration.
	r.cmd.Env = []string{"HOME=" + r.dir}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	r.cmd.Stdout, r.cmd.Stderr = in, in
	err = r.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		r.cmd = nil
		return err
	}
	go r.follow(out)
	select {
	case r.addr = <-r.listen:
	case <-r.read:
		return fmt.Errorf("docker-registry ended at once:\n%s", r.Log())
	case <-ctx.Done():
		return fmt.Errorf("docker-registry does not listen: %w\n%s", ctx.Err(), r.Log())
	}
	r.target = sample.Target{Host: r.addr, Transport: transport, Username: o.Username, Password: o.Password}
	if o.Tokens != nil {
		r.target.Transport = authorized{transport, o.Tokens}
	}
	return nil
}

// follow reads the log until the process closes it.
func (r *Registry) follow(out io.ReadCloser) {
	defer close(r.read)
	defer out.Close()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.line(lines.Text())
	}
}

// listening is the line of the JSON log that names the port.
type listening struct {
	Message string `json:"msg"`
}

// access matches a line of the access log, in Apache's combined format. Unlike the JSON log it also
// has the requests that were refused.
var access = regexp.MustCompile(`^\S+ - \S+ \[[^]]*\] "(\S+) (\S+) HTTP/[0-9.]+" (\d+) \d+ "[^"]*" "([^"]*)"$`)

func (r *Registry) line(raw string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.WriteString(raw + "\n")
	if m := access.FindStringSubmatch(raw); m != nil {
		status, _ := strconv.Atoi(m[3]) // the pattern ensures digits
		r.answered = append(r.answered, Request{Method: m[1], URI: m[2], Status: status, Agent: m[4]})
		return
	}
	var l listening
	if json.Unmarshal([]byte(raw), &l) != nil {
		return
	}
	if addr, ok := strings.CutPrefix(l.Message, "listening on "); ok {
		addr, _, _ = strings.Cut(addr, ",") // "…, tls"
		select {
		case r.listen <- addr:
		default:
		}
	}
}

// Addr returns the host:port on which the registry listens.
func (r *Registry) Addr() string { return r.addr }

// URL returns the address with its scheme.
func (r *Registry) URL() string {
	if r.secure {
		return "https://" + r.addr
	}
	return "http://" + r.addr
}

// Push stores img at reference (repository:tag).
func (r *Registry) Push(ctx context.Context, reference string, img sample.Image) error {
	return r.target.Push(ctx, reference, img)
}

// Served returns the requests of containerd that were answered, oldest first. The log line of a
// large answer may come a moment after its last byte.
func (r *Registry) Served(ctx context.Context) ([]Request, error) {
	return r.Answered(ctx, "containerd/")
}

// Answered is Served for the requests whose User-Agent begins with agent.
func (r *Registry) Answered(ctx context.Context, agent string) ([]Request, error) {
	if err := r.barrier(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var requests []Request
	for _, s := range r.answered {
		if strings.HasPrefix(s.Agent, agent) {
			requests = append(requests, s)
		}
	}
	return requests, nil
}

// barrier makes one request of our own and waits until the log has it, so that the log also has
// every request that was answered before.
func (r *Registry) barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r.mu.Lock()
	r.probes++
	agent := fmt.Sprintf("barrier/%d", r.probes)
	r.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL()+"/v2/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", agent)
	response, err := r.target.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("docker-registry at %s: %w\n%s", r.addr, err, r.Log())
	}
	response.Body.Close()
	for {
		r.mu.Lock()
		for _, s := range r.answered {
			if s.Agent == agent {
				r.mu.Unlock()
				return nil
			}
		}
		r.mu.Unlock()
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("docker-registry at %s logs nothing: %w", r.addr, ctx.Err())
		}
	}
}

// Log returns everything that the process has written.
func (r *Registry) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// Close stops the process and removes its store.
func (r *Registry) Close() error {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait() // "signal: killed" is expected
		<-r.read
	}
	return os.RemoveAll(r.dir)
}

// clientTransport returns a transport that may push to the registry.
func clientTransport(o Options) (*http.Transport, error) {
	t := &http.Transport{DisableKeepAlives: true}
	if o.CA == nil {
		return t, nil
	}
	t.TLSClientConfig = &tls.Config{RootCAs: o.CA.Pool(), ServerName: o.Name}
	if o.ClientCA != nil {
		pair, err := o.ClientCA.Client("pusher")
		if err != nil {
			return nil, err
		}
		cert, err := pair.TLS()
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// writeConfig writes config.yml and the files that it names into dir and returns its path.
func writeConfig(dir string, o Options) (string, error) {
	type object = map[string]any
	httpSection := object{"addr": net.JoinHostPort(o.IP, "0"), "secret": "of this test"}
	config := object{
		"version": "0.1",
		"log":     object{"level": "info", "formatter": "json"},
		"storage": object{"filesystem": object{"rootdirectory": filepath.Join(dir, "store")}},
		"http":    httpSection,
	}
	if o.CA != nil {
		pair, err := o.CA.Server(cmp.Or(o.Name, o.IP))
		if err != nil {
			return "", err
		}
		cert, key, err := pair.Write(dir, "server")
		if err != nil {
			return "", err
		}
		section := object{"certificate": cert, "key": key}
		if o.ClientCA != nil {
			file := filepath.Join(dir, "clients.crt")
			if err := os.WriteFile(file, o.ClientCA.PEM(), 0o644); err != nil {
				return "", err
			}
			section["clientcas"] = []string{file}
		}
		httpSection["tls"] = section
	}
	if o.Username != "" {
		// The lowest cost: nothing depends on the password, and each request checks it.
		// bcrypt uses 72 bytes of a password, and Go's package takes no more for a new hash.
		password := []byte(o.Password)
		hash, err := bcrypt.GenerateFromPassword(password[:min(len(password), 72)], bcrypt.MinCost)
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", o.Username, hash), 0o600); err != nil {
			return "", err
		}
		config["auth"] = object{"htpasswd": object{"realm": "e2e", "path": file}}
	}
	if o.Tokens != nil {
		file := filepath.Join(dir, "issuers.crt")
		if err := os.WriteFile(file, o.Tokens.ca.PEM(), 0o644); err != nil {
			return "", err
		}
		config["auth"] = object{"token": object{
			"realm": o.Realm, "service": tokenService, "issuer": tokenIssuer, "rootcertbundle": file,
		}}
	}
	// JSON is YAML, and its quoting is correct for any path.
	raw, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "config.yml")
	return file, os.WriteFile(file, raw, 0o600)
}
