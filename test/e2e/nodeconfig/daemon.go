package nodeconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/isolate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// enter makes a machine out of a directory and becomes the daemon. The dump is made first, of the
// same files.
const enter = `
set -eu
for d in etc var run srv opt; do
  mount -t tmpfs tmpfs "/$d"
  if [ -d "$TREE/$d" ]; then cp -a "$TREE/$d/." "/$d/"; fi
done
"$DAEMON" --config "$CONFIG" config dump >"$DIR/dump" 2>"$DIR/dump.err" || echo $? >"$DIR/dump.failed"
if [ "$MISSING" = 1 ]; then set --; else set -- --config "$CONFIG"; fi
while [ "$RESTARTS" = 1 ]; do # the test ends one; the next starts, whatever the exit code
  "$DAEMON" "$@" --root /var/lib/trial --state /run/trial --address "$DIR/sock" --log-level debug || true
done
exec "$DAEMON" "$@" --root /var/lib/trial --state /run/trial --address "$DIR/sock" --log-level debug
`

// node is a containerd that runs one trial, and the mirror that it can reach.
type node struct {
	dir    string
	mirror *httptest.Server
	cmd    *exec.Cmd
	exited chan struct{}
	conn   *grpc.ClientConn
}

// interfaces gives a network namespace 127.0.0.1, and an address with a default route, for shapes in
// which containerd chooses the address for streams. Some shapes name ports: in there every port is
// free.
const interfaces = `link set lo up
address add 192.0.2.1/32 dev lo
route add default dev lo
`

// start runs the trial's files with a release; mirror serves the address to which hosts.toml files
// send docker.io.
func start(program parts.Containerd, t trial, mirror http.Handler) (*node, error) {
	dir, err := os.MkdirTemp("/tmp", "berth-nc-") // short, for the socket
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, exited: make(chan struct{})}
	err = isolate.Network(interfaces, func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		n.mirror = &httptest.Server{Listener: l, Config: &http.Server{Handler: mirror}}
		n.mirror.Start()
		return n.run(program, t)
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// run starts the daemon in the network namespace of the thread.
func (n *node) run(program parts.Containerd, t trial) error {
	tree := filepath.Join(n.dir, "tree")
	for name, data := range t.files {
		if err := put(filepath.Join(tree, name), data); err != nil {
			return err
		}
		// Files that config.toml names and the shape does not have.
		for _, spec := range regexp.MustCompile(`base_runtime_spec\s*=\s*"(/[^"]+)"`).FindAllSubmatch(data, -1) {
			if err := put(filepath.Join(tree, string(spec[1])), []byte(`{"ociVersion": "1.0.2"}`)); err != nil {
				return err
			}
		}
	}
	hosts := fmt.Appendf(nil, "server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "https://registry-1.docker.io", n.mirror.URL)
	for _, dir := range t.directories() {
		if err := put(filepath.Join(tree, dir, "docker.io", "hosts.toml"), hosts); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(n.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	missing := "0"
	if t.files[t.main] == nil {
		missing = "1" // a missing --config is an error
	}
	restarts := "0"
	if t.restarts {
		restarts = "1"
	}
	n.cmd = isolate.Command(enter)
	n.cmd.Env = []string{
		"PATH=" + program.BinDir + ":/usr/sbin:/usr/bin:/sbin:/bin", "TREE=" + tree, "DIR=" + n.dir, "DAEMON=" + program.Daemon,
		"CONFIG=" + t.main, "MISSING=" + missing, "RESTARTS=" + restarts,
		// The upstream is unreachable.
		"HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1",
	}
	n.cmd.Dir = "/"
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return err
	}
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // the log says more than the exit status
	}()
	n.conn, err = grpc.NewClient("unix://"+filepath.Join(n.dir, "sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return err
}

// directories returns all directories from which hosts.toml files might be read.
func (t trial) directories() []string {
	if t.want.honoured {
		return []string{t.want.certsDir}
	}
	return []string{"/etc/containerd/certs.d", "/etc/docker/certs.d", "/srv/certs.d", "/srv/a", "/srv/b"}
}

func put(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// state is how a daemon ended up.
type state string

const (
	ready state = "its CRI is ready"
	noCRI state = "it has no CRI"
	ended state = "it ended"
)

// wait waits until the state of the daemon is known.
func (n *node) wait(ctx context.Context) (state, error) {
	client := cri.NewRuntimeServiceClient(n.conn)
	for {
		answer, err := client.Status(ctx, &cri.StatusRequest{})
		switch {
		case err == nil:
			for _, c := range answer.GetStatus().GetConditions() {
				if c.GetType() == "RuntimeReady" && c.GetStatus() {
					return ready, nil
				}
			}
		case status.Code(err) == codes.Unimplemented:
			return noCRI, nil
		}
		select {
		case <-n.exited:
			return ended, nil
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %v", ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
			// The connection waits for a second after the first failure.
			n.conn.ResetConnectBackoff()
		}
	}
}

// configPath returns the config_path that the CRI reports.
func (n *node) configPath(ctx context.Context) (string, error) {
	answer, err := cri.NewRuntimeServiceClient(n.conn).Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return "", err
	}
	var config struct {
		Registry struct {
			ConfigPath string `json:"configPath"`
		} `json:"registry"`
	}
	if err := json.Unmarshal([]byte(answer.GetInfo()["config"]), &config); err != nil {
		return "", err
	}
	return config.Registry.ConfigPath, nil
}

// pull pulls an image that does not exist: only the requests matter.
func (n *node) pull(ctx context.Context) {
	_, _ = cri.NewImageServiceClient(n.conn).PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "docker.io/library/probe:v1"}})
}

// dump returns the output of "config dump", "" if that failed.
func (n *node) dump() (string, error) {
	if _, err := os.Stat(filepath.Join(n.dir, "dump.failed")); err == nil {
		return "", nil
	}
	raw, err := os.ReadFile(filepath.Join(n.dir, "dump"))
	return string(raw), err
}

func (n *node) log() string {
	raw, err := os.ReadFile(filepath.Join(n.dir, "log"))
	if err != nil {
		return err.Error()
	}
	var last []string
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "level=error") || strings.Contains(line, "level=warn") || !strings.Contains(line, "level=") {
			last = append(last, line)
		}
	}
	return strings.Join(last[max(0, len(last)-15):], "")
}

// close kills the daemon; the kernel removes everything in its namespaces.
func (n *node) close() error {
	var errs []error
	if n.conn != nil {
		errs = append(errs, n.conn.Close())
	}
	if n.cmd != nil {
		errs = append(errs, n.cmd.Process.Kill())
		<-n.exited
	}
	if errors.Is(errors.Join(errs...), os.ErrProcessDone) {
		errs = nil
	}
	if n.mirror != nil {
		n.mirror.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(n.dir))...)
}
