package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
)

// ErrAgentRuns is returned by [Node.Restore] while an agent runs, which would undo it.
var ErrAgentRuns = errors.New("an agent runs on this machine and would undo the restore; stop the agent first")

// Restore puts every file back as it was before Berth, and changes nothing else. The directories of
// configs are searched for files of ours whose record is lost.
func (n *Node) Restore(ctx context.Context, configs ...*config.Config) (managedfile.Report, error) {
	agentLock, err := nodefs.LockFile(ctx, n.Root, AgentLockFile, false)
	if errors.Is(err, nodefs.ErrLocked) {
		return managedfile.Report{}, fmt.Errorf("%w (%w)", ErrAgentRuns, err)
	}
	if err != nil {
		return managedfile.Report{}, err
	}
	defer agentLock.Unlock()
	return n.RestoreAsAgent(ctx, configs...)
}

// RestoreAsAgent is Restore for a caller that holds the agent's lock.
func (n *Node) RestoreAsAgent(ctx context.Context, configs ...*config.Config) (managedfile.Report, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return managedfile.Report{}, err
	}
	defer unlock()
	withheld := n.withholdAll()
	var scopes []managedfile.Scope
	for _, cfg := range configs {
		scopes = append(scopes, hostsconf.Scope(hostsconf.ScopeName, path.Clean(cfg.Containerd.CertsDir), false))
		if cfg.Docker.CertsDir != cfg.Containerd.CertsDir {
			scopes = append(scopes, hostsconf.Scope(hostsconf.DockerScopeName, path.Clean(cfg.Docker.CertsDir), false))
		}
	}
	report, err := n.Store.RestoreAll(ctx, scopes...)
	if err == nil {
		err = n.writeEmptyRules()
	}
	return report, errors.Join(err, withheld)
}
