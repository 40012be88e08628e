package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/internal/cri"
	"github.com/berth-registry/berth/node"
)

// Runtime is a container runtime that answers CRI requests.
type Runtime interface {
	// Status asks for its state. The error matches [cri.ErrNoCRI] if the daemon answers and its CRI
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

// DialRuntime connects to the runtime at a socket. It does not wait for the connection.
func DialRuntime(socket string) (Runtime, error) {
	c, err := cri.Dial(socket)
	return runtime{c}, err
}

type runtime struct{ *cri.Client }

func (r runtime) Status(ctx context.Context) (RuntimeStatus, error) {
	r.ResetConnectBackoff()
	version, err := cri.Ask(ctx, r.Runtime.Version, &v1.VersionRequest{})
	if err != nil {
		return RuntimeStatus{}, cri.Error(err)
	}
	answer, err := cri.Ask(ctx, r.Runtime.Status, &v1.StatusRequest{Verbose: true})
	if err != nil {
		return RuntimeStatus{}, cri.Error(err)
	}
	s := RuntimeStatus{Version: version.GetRuntimeVersion()}
	for _, c := range answer.GetStatus().GetConditions() {
		if c.GetType() == v1.RuntimeReady {
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

// status asks the node's containerd.
func (in *Installer) status(ctx context.Context, c node.Containerd) (RuntimeStatus, error) {
	socket, err := in.machine.Root.Resolve(socketOf(c))
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
		return cri.K3s
	case node.K0s:
		return cri.K0s
	case node.MicroK8s:
		return cri.MicroK8s
	}
	return cri.Containerd
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
			case errors.Is(err, cri.ErrNoCRI):
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
