// Package doctor examines a node: whether pulls use the mirrors and credentials of the config, and
// what may prevent that later.
//
// It changes nothing. It starts credential helpers whose login is missing, and sends requests only
// to the metadata service, to the agent of this machine and to Docker's socket. No finding holds a
// secret. A finding says what was examined, the fault and the remedy. Start reading at [Examine],
// which calls one function for each subject.
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
	Warn Level = "warn" // works, but not for everything or may stop
	Fail Level = "fail" // does not work
)

// Finding is the result of one check.
type Finding struct {
	Name   string `json:"name"` // of the check, such as "config-path"
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Input is the node that is examined.
type Input struct {
	Machine node.Machine
	// Config is the RegistryConfig. If it is nil, ConfigErr is the reason.
	Config     *config.Config
	ConfigFile string // as this process names it
	// ConfigNamed is true if the user named the file. Then a missing file is a failure.
	ConfigNamed bool
	ConfigErr   error
	Warnings    []config.Warning
	// Getenv reads the environment of this process, which stands for that of the agent.
	Getenv func(string) string
	// Sys is the node's /sys as this process opens it; "" if it cannot.
	Sys string
	// Client sends requests to the metadata service. If it is nil, a client without a proxy and
	// with a timeout of two seconds is used.
	Client *http.Client
	Now    func() time.Time
	// Agent asks the agent of the node; nil if it cannot be reached from here.
	Agent func(context.Context) (AgentReport, error)
	// InstallKubelet returns why "berth install --kubelet" would refuse the node, nil if it would
	// not. It may be nil.
	InstallKubelet func(context.Context) error
}

// Examine runs every check. The findings are in the order of a pull: containerd first, then
// kubelet.
func Examine(ctx context.Context, p Input) []Finding {
	e := &examination{Input: p, inputs: reconcile.Inspect(ctx, p.Machine)}
	e.config()
	e.agent(ctx)
	e.containerd(ctx)
	e.hosts()
	e.docker(ctx)
	e.tokenServers()
	e.permissions()
	e.configJSON(ctx)
	e.kubelet(ctx)
	e.providerRules()
	e.tokens()
	e.helpers(ctx)
	e.metadata(ctx)
	e.proxy()
	e.selinux()
	return e.findings
}

// Worst returns the worst level of the findings.
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
	findings    []Finding
	engine      node.Containerd
	certsDir    string // the examined directory, a path on the node
	inputs      desired.Inputs
	notRead     bool     // containerd does not read it
	dockerReads bool     // Docker reads the files that Berth writes for it
	fileLogins  []string // hosts whose login is in kubelet's own config.json
	haveTokens  bool     // each ECR registry of the config has a token
}

func (e *examination) add(name string, level Level, detail, remedy string) {
	e.findings = append(e.findings, Finding{name, level, detail, remedy})
}

// config reports whether the config is valid.
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
		e.add(name, Fail, e.ConfigErr.Error(), "fix the config; until then the agent keeps the last good state")
	}
}
