package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/node"
)

// Runtime is a container runtime that answers CRI requests.
type Runtime interface {
	// Status asks for its state. The error matches [ErrNoCRI] if the daemon answers and its CRI
	// plugin is missing.
	Status(ctx context.Context) (RuntimeStatus, error)
	Close() error
}

// RuntimeStatus is the state of a runtime.
type RuntimeStatus struct {
	Ready   bool
	Reason  string // why it is not ready
	Version string
	// ConfigPath is the config_path that it runs with. Reported is false if the runtime does not report
	// it: containerd 1.x does, 2.x does not.
	ConfigPath string
	Reported   bool
}

// ErrNoCRI is returned if containerd runs without its CRI plugin.
var ErrNoCRI = errors.New("containerd answers, but its CRI plugin did not load")

// criTimeout limits one request.
const criTimeout = 10 * time.Second

// DialRuntime connects to the runtime at a socket. It does not wait for the connection.
func DialRuntime(socket string) (Runtime, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &runtime{conn: conn, client: cri.NewRuntimeServiceClient(conn)}, nil
}

type runtime struct {
	conn   *grpc.ClientConn
	client cri.RuntimeServiceClient
}

func (r *runtime) Close() error { return r.conn.Close() }

func (r *runtime) Status(ctx context.Context) (RuntimeStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	r.conn.ResetConnectBackoff()
	version, err := r.client.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		return RuntimeStatus{}, criError(err)
	}
	answer, err := r.client.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return RuntimeStatus{}, criError(err)
	}
	s := RuntimeStatus{Version: version.GetRuntimeVersion()}
	for _, c := range answer.GetStatus().GetConditions() {
		if c.GetType() == cri.RuntimeReady {
			s.Ready, s.Reason = c.GetStatus(), strings.TrimSpace(c.GetReason()+" "+c.GetMessage())
		}
	}
	var config struct {
		Registry struct {
			ConfigPath *string `json:"configPath"`
		} `json:"registry"`
	}
	if json.Unmarshal([]byte(answer.GetInfo()["config"]), &config) == nil && config.Registry.ConfigPath != nil {
		s.ConfigPath, s.Reported = *config.Registry.ConfigPath, true
	}
	return s, nil
}

func criError(err error) error {
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case s.Code() == codes.Unimplemented:
		return ErrNoCRI
	case s.Code() == codes.DeadlineExceeded:
		return context.DeadlineExceeded
	}
	return errors.New(strings.ReplaceAll(s.Message(), "\n", " "))
}

// status asks the node's containerd.
func (in *Installer) status(ctx context.Context, c node.Containerd) (RuntimeStatus, error) {
	socket, err := in.host.Root.Resolve(socketOf(c))
	if err != nil {
		return RuntimeStatus{}, err
	}
	r, err := in.o.Runtime(socket)
	if err != nil {
		return RuntimeStatus{}, err
	}
	defer r.Close()
	return r.Status(ctx)
}

// socketOf is containerd's socket: that of its command line, else of its configuration, else the
// default.
func socketOf(c node.Containerd) string {
	if c.Socket != "" {
		return c.Socket
	}
	for i := len(c.Config.Files) - 1; i >= 0; i-- {
		if doc := c.Config.Files[i].Doc; doc != nil {
			if f := doc.Field("grpc", "address"); f != nil && f.Value.Text != "" {
				return f.Value.Text
			}
		}
	}
	switch c.Layout {
	case node.K3s, node.RKE2:
		return "/run/k3s/containerd/containerd.sock"
	case node.K0s:
		return "/run/k0s/containerd.sock"
	case node.MicroK8s:
		return "/var/snap/microk8s/common/run/containerd.sock"
	}
	return "/run/containerd/containerd.sock"
}

// poll is the interval at which a daemon is asked whether it is ready.
const poll = 100 * time.Millisecond

// awaitRuntime waits until containerd is ready and, if it reports its directory, has the right one.
// restarted reports whether the new process answers already.
func (in *Installer) awaitRuntime(ctx context.Context, c node.Containerd, configPath string, restarted func() bool) error {
	limited, cancel := context.WithTimeout(ctx, in.o.ReadyTimeout)
	defer cancel()
	last := errors.New("it was not restarted")
	for {
		if restarted == nil || restarted() {
			s, err := in.status(limited, c)
			switch {
			case errors.Is(err, ErrNoCRI):
				return fmt.Errorf("%w; see its log", err)
			case err != nil:
				if limited.Err() == nil {
					last = err
				}
			case !s.Ready:
				last = fmt.Errorf("the CRI is not ready: %s", s.Reason)
			case configPath != "" && s.Reported && s.ConfigPath != configPath:
				return fmt.Errorf("the CRI runs with config_path %q, and not %q", s.ConfigPath, configPath)
			default:
				return nil
			}
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("containerd was not ready within %v: %w", in.o.ReadyTimeout, last)
		case <-time.After(poll):
		}
	}
}
