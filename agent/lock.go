package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/reconcile"
)

// relockEvery is how often an agent without the lock tries again.
const relockEvery = time.Second

// agentLock makes an agent the only one on its machine: an flock(2) on a file. Others find the
// file by its name, so the lock excludes no other agent once the file is removed or replaced.
type agentLock struct {
	root *nodefs.Root
	lock *nodefs.Lock
	file fs.FileInfo // the locked file
}

// acquire takes the lock. The error matches [nodefs.ErrLocked] if another process has it.
// An older lock of this agent is not released, because that would remove the new file; the
// kernel drops it with its own file, which has no name any more.
func (l *agentLock) acquire(ctx context.Context) error {
	var err error
	for range lockAttempts {
		var lock *nodefs.Lock
		if lock, err = nodefs.LockFile(ctx, l.root, reconcile.AgentLockFile, false); err != nil {
			return err
		}
		if l.file, err = l.root.Lstat(reconcile.AgentLockFile); err == nil {
			l.lock = lock
			return nil
		}
	}
	return err
}

// lockAttempts bounds the attempts when the file is removed right after it was made.
const lockAttempts = 10

// held reports whether the lock still excludes other agents.
func (l *agentLock) held() bool {
	file, err := l.root.Lstat(reconcile.AgentLockFile)
	return err == nil && l.lock != nil && os.SameFile(file, l.file)
}

// release releases the lock. A lock file of another agent is left alone.
func (l *agentLock) release() {
	if l.held() {
		l.lock.Unlock()
	}
	l.lock = nil
}

// waitForLock waits until this is the only agent; locked is false if ctx was done before.
func (a *Agent) waitForLock(ctx context.Context) (locked bool, err error) {
	for {
		err := a.lock.acquire(ctx)
		if err == nil {
			a.logged.holder = ""
			return true, nil
		}
		if !errors.Is(err, nodefs.ErrLocked) {
			return false, lockError(err)
		}
		a.enterWaiting(ctx, err)
		a.recordProgress()
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(relockEvery):
		}
	}
}

// stillLocked reports whether this agent may work. If the lock file was removed, it is made
// again; if another agent made one first, that agent works, and this one waits for its end.
func (a *Agent) stillLocked(ctx context.Context) bool {
	if a.lock.held() {
		return true
	}
	err := a.lock.acquire(ctx)
	switch {
	case err == nil:
		if a.logged.holder != "" {
			a.log.InfoContext(ctx, "the other agent has ended; this one continues")
		} else {
			a.log.WarnContext(ctx, "lock file was removed; it is locked again", "path", reconcile.AgentLockFile)
		}
		a.logged.holder, a.logged.lock = "", ""
		a.state.enter(status.Converging)
		return true
	case errors.Is(err, nodefs.ErrLocked):
		a.enterWaiting(ctx, err)
		return false
	}
	// Another agent most likely cannot take the lock either, so this one works on.
	a.logIfChanged(ctx, &a.logged.lock, lockError(err), "agent lock cannot be taken; continuing without it", "")
	return true
}

// enterWaiting shows that another agent works.
func (a *Agent) enterWaiting(ctx context.Context, holder error) {
	if a.logged.holder == holder.Error() {
		return
	}
	a.logged.holder = holder.Error()
	a.log.WarnContext(ctx, "another agent runs on this machine; waiting until it ends", "holder", a.logged.holder)
	a.state.enter(status.Waiting)
	a.publish()
}

// lockError adds the remedy to an error of the lock that is not about another holder.
func lockError(err error) error {
	remedy := ""
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		remedy = fmt.Sprintf("; make %[1]s a directory that root can write; in a container, mount the node's %[1]s there", path.Dir(reconcile.AgentLockFile))
	}
	return fmt.Errorf("agent lock cannot be taken: %w%s", err, remedy)
}
