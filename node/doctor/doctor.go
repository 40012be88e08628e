// Package doctor examines a node: will pulls go where the config says, with the
// credentials that it says, and will that still be so tomorrow.
//
// What it promises: it changes nothing; it asks nobody but the metadata service
// and the agent of this machine; a finding holds no secret. Each finding says what was looked
// at, what is wrong and what to do. Start reading at [Examine], which calls one
// function for each subject.
package doctor

import (
	"context"
	"net/http"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"   // as it should be, or not needed
	Warn Level = "warn" // works, and may not tomorrow, or not for everything
	Fail Level = "fail" // does not work
)

// Finding is the result of one check.
type Finding struct {
	Name   string `json:"name"` // such as "config-path"
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Input is the node that is examined.
type Input struct {
	Host node.Host
	// Config is the RegistryConfig, nil without one; then ConfigErr says why.
	Config     *config.Config
	ConfigFile string // as this process names it
	// ConfigNamed says that somebody named the file: then it has to be there.
	ConfigNamed bool
	ConfigErr   error
	Warnings    []config.Warning
	// Getenv reads the environment that the agent runs with, or would.
	Getenv func(string) string
	// Sys is the node's /sys as this process can open it; "" when it cannot.
	Sys string
	// Client asks the metadata service; nil asks with a client that uses no
	// proxy and waits for two seconds.
	Client *http.Client
	Now    func() time.Time
	// Agent asks the agent of the node; nil where it cannot be reached.
	Agent func(context.Context) (AgentReport, error)
	// InstallKubelet is why "berth install --kubelet" would refuse the node, nil
	// when it would not. A nil function is one that knows nothing.
	InstallKubelet func(context.Context) error
}

// Examine makes every check. The findings are in the order of a pull: what
// containerd does, then what kubelet does.
func Examine(ctx context.Context, p Input) []Finding {
	e := &examination{Input: p, inputs: reconcile.Inspect(ctx, p.Host)}
	e.config()
	e.agent(ctx)
	e.containerd(ctx)
	e.hosts()
	e.permissions()
	e.kubelet(ctx)
	e.rules()
	e.tokens()
	e.metadata(ctx)
	e.proxy()
	e.selinux()
	return e.findings
}

// Worst is the worst level of some findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// examination collects the findings.
type examination struct {
	Input
	findings []Finding
	engine   node.Containerd
	certsDir string // that is examined, as the node names it
	inputs   desired.Inputs
	unread   bool // containerd reads nothing below it
	served   bool // each ECR registry of the config has a token
}

func (e *examination) add(name string, level Level, detail, remedy string) {
	e.findings = append(e.findings, Finding{name, level, detail, remedy})
}

// config tells whether there is one.
func (e *examination) config() {
	const name = "config"
	switch {
	case e.Config != nil:
		for _, w := range e.Warnings {
			e.add(name, Warn, w.String(), "")
		}
		if len(e.Warnings) == 0 {
			e.add(name, OK, e.ConfigFile+" is valid", "")
		}
	case isNotExist(e.ConfigErr) && e.ConfigNamed:
		e.add(name, Fail, "there is no "+e.ConfigFile, "write a RegistryConfig there, or name another with --config")
	case isNotExist(e.ConfigErr):
		e.add(name, Warn, "there is no "+e.ConfigFile, "write a RegistryConfig there, or name one with --config")
	default:
		e.add(name, Fail, e.ConfigErr.Error(), "mend the config; until then the agent keeps the last good state")
	}
}
