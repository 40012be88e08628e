package reconcile

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
)

// dockerEvery is how long an inspection of Docker Engine counts, unless its daemon.json changes: a
// restart with other settings is noticed after it.
const dockerEvery = 15 * time.Second

// dockerCache is the last inspection.
type dockerCache struct {
	engine  node.Docker
	found   bool
	at      time.Time
	changed time.Time // when daemon.json was changed
}

// DockerEngine returns the node's Docker Engine. found is false if there is no trace of one.
func (n *Node) DockerEngine(ctx context.Context) (engine node.Docker, found bool, err error) {
	c := &n.docker
	changed := time.Time{}
	if info, err := n.Root.Lstat(c.engine.ConfigPath); c.engine.ConfigPath != "" && err == nil {
		changed = info.ModTime()
	}
	if !c.at.IsZero() && time.Since(c.at) < dockerEvery && changed.Equal(c.changed) {
		return c.engine, c.found, nil
	}
	engine, found, err = node.DiscoverDocker(ctx, n.Machine)
	if err != nil {
		return engine, found, err
	}
	*c = dockerCache{engine: engine, found: found, at: time.Now()}
	if info, err := n.Root.Lstat(engine.ConfigPath); err == nil {
		c.changed = info.ModTime()
	}
	return engine, found, nil
}

// dockerInputs are what is known of Docker Engine, and whether hosts.toml files are written for it.
type dockerInputs struct {
	on bool
	// begun is true if files of Berth are in Docker's directory.
	begun bool
	// shared is true if the directory is that of containerd too.
	shared   bool
	engine   node.Docker
	found    bool
	settings desired.Docker
	foreign  hostsconf.Foreign
	notice   string
}

// dockerInputs decides whether hosts.toml files are written for Docker. In mode auto this begins
// when a Docker is seen that reads them, and ends when it is known to have another image store. A
// Docker that is stopped or does not answer is no change.
func (n *Node) dockerInputs(ctx context.Context, cfg *config.Config) (in dockerInputs, err error) {
	in.shared = cfg.Docker.CertsDir == cfg.Containerd.CertsDir
	tree := n.dockerTree(cfg)
	if !in.shared {
		snapshot, err := tree.Read(hostsconf.DesiredFiles{})
		if err != nil && cfg.Docker.Mode != config.DockerOn {
			// It must not keep the files for containerd from being written.
			in.notice = fmt.Sprintf("nothing is written for Docker: %v", err)
			return in, nil
		}
		if err != nil {
			return in, err
		}
		in.begun = slices.ContainsFunc(snapshot.Files, func(o managedfile.Observed) bool {
			return o.Owner == managedfile.Ours || o.Owner == managedfile.Edited
		})
	}
	if cfg.Docker.Mode == config.DockerOff {
		return in, nil
	}
	engine, found, unseen := n.DockerEngine(ctx)
	if unseen != nil {
		// As for a Docker that does not answer.
		engine, found = node.Docker{StoreFrom: unseen.Error(), Unsettled: unseen.Error()}, false
	}
	in.engine, in.found = engine, found
	reads, why := engine.Reads()
	in.on = cfg.Docker.Mode == config.DockerOn || reads == node.Reads && found || reads == node.CannotTell && in.begun
	switch {
	case !found && cfg.Docker.Mode == config.DockerOn:
		in.notice = "no Docker Engine is seen on this node; the files are written because docker.mode is on"
	case found && in.on && reads == node.DoesNot:
		in.notice = "the files have no effect: " + why
	case found && !in.on:
		in.notice = "nothing is written for Docker: " + why
	}
	if !in.on {
		return in, nil
	}
	in.settings = desired.Docker{Mirrors: engine.Mirrors, Insecure: engine.Insecure, Unsettled: engine.Unsettled}
	if uid, ok := n.owner(cfg.Docker.CertsDir); engine.Rootless || ok && uid != uint32(os.Geteuid()) {
		in.settings.CannotRead = fmt.Sprintf("rootless Docker reads %s, and cannot read a file that only root can read; run docker login",
			cfg.Docker.CertsDir)
	}
	if !in.shared {
		in.foreign, err = n.foreignCertificates(tree)
	}
	return in, err
}

// owner returns the owner of a directory, if it exists.
func (n *Node) owner(dir string) (uid uint32, ok bool) {
	info, err := n.Root.Lstat(dir)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}

// DockerEngine returns the node's Docker Engine, and whether hosts.toml files are written for it.
// found is false if none is seen, or docker.mode is off.
func (s States) DockerEngine() (engine node.Docker, found, written bool) {
	return s.docker.engine, s.docker.found, s.docker.on
}

// DockerFiles returns the files to watch to follow Docker's settings, and the directory where its
// hosts.toml files are; "" if none are written.
func (s States) DockerFiles(cfg *config.Config) (files []string, tree string) {
	if s.docker.found {
		files = append(files, s.docker.engine.ConfigPath)
	}
	if s.docker.on {
		tree = cfg.Docker.CertsDir
	}
	return files, tree
}

// Notices are what an operator should know about the states. A notice about Docker's directory
// that is also one about containerd's is there once.
func (s States) Notices(cfg *config.Config) []desired.Notice {
	all := slices.Clone(s.Containerd.Notices)
	if s.Docker != nil {
		for _, n := range s.Docker.Notices {
			if !slices.Contains(s.Containerd.Notices, n) {
				n.Subject += " (Docker)"
				all = append(all, n)
			}
		}
	}
	if s.docker.notice != "" {
		all = append(all, desired.Notice{Subject: "docker", Message: s.docker.notice})
	}
	return all
}
