//go:build e2e

package docker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/isolate"
)

// The programs that the suite runs, in the directories of the cache and of Debian's packages.
const (
	dockerdDir    = "dockerd-2.0.0-beta.24"
	containerdDir = "containerd-2.4.2"
	dockerCLI     = "/usr/bin/docker"
)

// patience is how long the tests wait for events that take seconds on an idle machine.
const patience = time.Minute

// engine is a running dockerd with its containerd.
type engine struct {
	dir    string // all its files
	root   string // what berth takes for the node: /etc/docker and /run/docker.sock
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process and its namespaces have ended
	api    *http.Client
}

// enter makes the private /run and /etc/docker, takes the name servers away, so that no query
// leaves the machine, and becomes the daemon.
const enter = `mount -t tmpfs tmpfs /run && mount --bind "$1" /etc/docker &&
if [ -e /etc/resolv.conf ]; then : >/run/none && mount --bind /run/none /etc/resolv.conf; fi &&
shift && exec "$@"`

// startEngine starts dockerd with env as its environment, and stops it at the end of the test.
func startEngine(t *testing.T, env []string) *engine {
	t.Helper()
	return startEngineWith(t, env, true)
}

// startEngineWith starts dockerd with the containerd image store, or Debian's, which has Docker's own.
func startEngineWith(t *testing.T, env []string, containerdStore bool) *engine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("dockerd needs root: run make e2e-docker as root")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := "/usr/sbin:/usr/bin:/sbin:/bin"
	programs := map[string]string{dockerCLI: "apt-get install -y --no-install-recommends docker.io"}
	var store []string
	if containerdStore {
		programs[filepath.Join(cache, "berth-test", dockerdDir, "dockerd")] = "test/docker/parts.sh"
		programs[filepath.Join(cache, "berth-test", containerdDir, "containerd")] = "test/e2e/parts.sh"
		programs[filepath.Join(cache, "berth-test", containerdDir, "containerd-shim-runc-v2")] = "test/e2e/parts.sh"
		store = []string{"--feature", "containerd-snapshotter=true"}
	}
	for program, from := range programs {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("%s is missing; run: %s", program, from)
		}
		path = filepath.Dir(program) + ":" + path
	}
	// Not below t.TempDir: the path of a socket is at most 107 bytes long.
	dir, err := os.MkdirTemp("", "berth-docker-")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{dir: dir, root: filepath.Join(dir, "root"), exited: make(chan struct{})}
	must(t, os.MkdirAll(e.etc(), 0o755))
	must(t, os.MkdirAll(filepath.Dir(e.socket()), 0o755))
	log, err := os.Create(e.logFile())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	e.cmd = isolate.Command(enter, append([]string{e.etc(), "dockerd", "--debug", "--group", "root",
		"--userland-proxy=false", "--bridge=none", "--iptables=false", "--ip6tables=false",
		"--host", "unix://" + e.socket(),
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid")}, store...)...)
	e.cmd.Dir = dir
	e.cmd.Env = append(slices.Clone(env), "PATH="+path, "HOME="+dir)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(e.exited)
		_ = e.cmd.Wait() // the log says more than the exit status
	}()
	t.Cleanup(func() { e.stop(t) })
	e.api = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", e.socket())
		},
		DisableKeepAlives: true,
	}}
	e.waitFor(t, "ready", func() error {
		_, err := e.call(t.Context(), http.MethodGet, "/_ping", nil, nil)
		return err
	})
	return e
}

func (e *engine) etc() string     { return filepath.Join(e.root, "etc/docker") }
func (e *engine) socket() string  { return filepath.Join(e.root, "run/docker.sock") }
func (e *engine) logFile() string { return filepath.Join(e.dir, "log") }

// waitFor asks until done returns nil.
func (e *engine) waitFor(t *testing.T, what string, done func() error) {
	t.Helper()
	end := time.After(patience)
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-e.exited:
			t.Fatalf("dockerd ended before it was %s:\n%s", what, e.log(0))
		case <-end:
			t.Fatalf("dockerd is not %s: %v\n%s", what, err, e.log(0))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends dockerd and removes its files.
func (e *engine) stop(t *testing.T) {
	t.Helper()
	if pid, err := e.pid(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	} else {
		t.Errorf("dockerd has ended by itself:\n%s", e.log(0))
	}
	select {
	case <-e.exited:
	case <-time.After(patience):
		t.Errorf("dockerd did not end within %s:\n%s", patience, e.log(0))
		_ = e.cmd.Process.Kill() // and with it all processes of its namespace
		<-e.exited
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Error(err)
	}
}

// pid returns the process id of dockerd, the only child of unshare.
func (e *engine) pid() (int, error) {
	parent := e.cmd.Process.Pid
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// logSize returns the size of the log, for a later call of log.
func (e *engine) logSize() int64 {
	info, err := os.Stat(e.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// log returns the last lines of what dockerd wrote after the first from bytes.
func (e *engine) log(from int64) string {
	raw, err := os.ReadFile(e.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw[min(from, int64(len(raw))):])), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-60):], "\n\t")
}

// call makes a request to dockerd's API and returns the answer. An error in the answer, also one
// that comes after the status, is an error.
func (e *engine) call(
	ctx context.Context, method, path string, body io.Reader, header http.Header,
) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := e.api.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(raw))
	}
	for stream := json.NewDecoder(bytes.NewReader(raw)); ; {
		var message struct {
			Error string `json:"error"`
		}
		if stream.Decode(&message) != nil { // the end, or not a stream of objects
			return raw, nil
		}
		if message.Error != "" {
			return nil, errors.New(message.Error)
		}
	}
}

// login is what a client of the API sends with a pull or push.
type login struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	ServerAddress string `json:"serveraddress,omitempty"`
}

func (l *login) header() http.Header {
	if l == nil {
		return http.Header{}
	}
	raw, _ := json.Marshal(l) // three strings
	return http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(raw)}}
}

// split cuts a reference into repository and tag or digest.
func split(ref string) (repository, tag string) {
	if repository, digest, ok := strings.Cut(ref, "@"); ok {
		return repository, digest
	}
	colon := strings.LastIndexByte(ref, ':')
	return ref[:colon], ref[colon+1:]
}

// pull pulls ref and returns the digest that it has then.
func (e *engine) pull(ctx context.Context, ref string, as *login) (digest string, err error) {
	repository, tag := split(ref)
	query := url.Values{"fromImage": {repository}, "tag": {tag}}
	if _, err := e.call(ctx, http.MethodPost, "/images/create?"+query.Encode(), nil, as.header()); err != nil {
		return "", err
	}
	raw, err := e.call(ctx, http.MethodGet, "/images/"+ref+"/json", nil, nil)
	if err != nil {
		return "", err
	}
	var image struct{ ID string }
	return image.ID, json.Unmarshal(raw, &image)
}

// tag gives the image from another reference.
func (e *engine) tag(ctx context.Context, from, to string) error {
	repository, tag := split(to)
	query := url.Values{"repo": {repository}, "tag": {tag}}
	_, err := e.call(ctx, http.MethodPost, "/images/"+from+"/tag?"+query.Encode(), nil, nil)
	return err
}

// push pushes ref, a tag. Without a login it sends an empty one, as the docker command does.
func (e *engine) push(ctx context.Context, ref string, as *login) error {
	repository, tag := split(ref)
	if as == nil {
		as = &login{}
	}
	path := "/images/" + repository + "/push?" + url.Values{"tag": {tag}}.Encode()
	_, err := e.call(ctx, http.MethodPost, path, nil, as.header())
	return err
}

// build builds an image on top of base with the docker command, through dockerd's BuildKit.
// config is the content of its config.json, with its logins.
func (e *engine) build(ctx context.Context, base, config string) (output string, err error) {
	dir, err := os.MkdirTemp(e.dir, "build-")
	if err != nil {
		return "", err
	}
	for name, content := range map[string]string{
		"config/config.json": config,
		"context/Dockerfile": "FROM " + base + "\nCOPY Dockerfile /\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, dockerCLI, "--config", filepath.Join(dir, "config"),
		"--host", "unix://"+e.socket(), "build", "--progress=plain", filepath.Join(dir, "context"))
	cmd.Env = []string{"DOCKER_BUILDKIT=1", "HOME=" + dir}
	raw, err := cmd.CombinedOutput()
	return string(raw), err
}

// settings are the parts of daemon.json that concern registries.
type settings struct {
	Mirrors  []string `json:"registry-mirrors"`
	Insecure []string `json:"insecure-registries"`
}

// reload gives dockerd another daemon.json. It must not contain null: dockerd keeps a value that
// the file does not set.
func (e *engine) reload(t *testing.T, s settings) {
	t.Helper()
	s.Mirrors, s.Insecure = append([]string{}, s.Mirrors...), append([]string{}, s.Insecure...)
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.etc(), "daemon.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	before := e.logSize()
	pid, err := e.pid()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	e.waitFor(t, "reloaded", func() error {
		if !strings.Contains(e.log(before), "Reloaded configuration") {
			return errors.New("its log has no line about it")
		}
		return nil
	})
}
