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
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/reconcile"
)

// relockEvery is how often an agent that is not the only one tries again.
const relockEvery = time.Second

// lock is the lock that makes an agent the only one on its machine. The kernel
// holds it on a file, and who looks for it finds that by its name: once the file
// is removed, or another one put in its place, it keeps nobody away any more.
type agentLock struct {
	root *managedfile.Root
	lock *managedfile.Lock
	file fs.FileInfo // what is locked
}

// acquire takes the lock. The error matches [managedfile.ErrLocked] when another
// process has it. A lock that was held before is not released, which would
// remove the file of this one: it ends with its own file, that has no name.
func (s *agentLock) acquire(ctx context.Context) error {
	var err error
	for range takeTries {
		var lock *managedfile.Lock
		if lock, err = managedfile.LockFile(ctx, s.root, reconcile.AgentLockFile, false); err != nil {
			return err
		}
		if s.file, err = s.root.Lstat(reconcile.AgentLockFile); err == nil {
			s.lock = lock
			return nil
		}
	}
	return err
}

// takeTries is how often the file may be removed at the moment when it is made.
const takeTries = 10

// held reports whether the lock still keeps others away.
func (s *agentLock) held() bool {
	file, err := s.root.Lstat(reconcile.AgentLockFile)
	return err == nil && s.lock != nil && os.SameFile(file, s.file)
}

// release lets the next one have it. A file that is another's by now is left.
func (s *agentLock) release() {
	if s.held() {
		s.lock.Unlock()
	}
	s.lock = nil
}

// waitForLock waits until this is the only agent; alone is false when ctx was done
// before.
func (a *Agent) waitForLock(ctx context.Context) (alone bool, err error) {
	for {
		err := a.lock.acquire(ctx)
		if err == nil {
			a.logged.holder = ""
			return true, nil
		}
		if !errors.Is(err, managedfile.ErrLocked) {
			return false, cannotLock(err)
		}
		a.releaseLock(ctx, err)
		a.watchdog()
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(relockEvery):
		}
	}
}

// stillLocked reports whether this agent may work. A lock file that was
// removed is created again; if another agent was faster, that one works from now on,
// and this one waits for its end.
func (a *Agent) stillLocked(ctx context.Context) bool {
	if a.lock.held() {
		return true
	}
	err := a.lock.acquire(ctx)
	switch {
	case err == nil:
		if a.logged.holder != "" {
			a.log.InfoContext(ctx, "the other agent has ended; this one works again")
		} else {
			a.log.WarnContext(ctx, "somebody removed the lock of this agent; it has a new one", "path", reconcile.AgentLockFile)
		}
		a.logged.holder, a.logged.lock = "", ""
		a.state.enter(status.Converging)
		return true
	case errors.Is(err, managedfile.ErrLocked):
		a.releaseLock(ctx, err)
		return false
	}
	// As far as can be seen, nobody else can have it either.
	a.logOnceFor(ctx, &a.logged.lock, cannotLock(err), "nothing keeps a second agent away", "")
	return true
}

// releaseLock shows that another agent works.
func (a *Agent) releaseLock(ctx context.Context, holder error) {
	if a.logged.holder == holder.Error() {
		return
	}
	a.logged.holder = holder.Error()
	a.log.WarnContext(ctx, "another agent runs on this machine; waiting until it ends", "holder", a.logged.holder)
	a.state.enter(status.Waiting)
	a.publish()
}

// cannotLock says what to do when the lock cannot be had for another reason than
// that somebody has it.
func cannotLock(err error) error {
	remedy := ""
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		remedy = fmt.Sprintf("; %s has to be a directory that root can write, in a container the node's own", path.Dir(reconcile.AgentLockFile))
	}
	return fmt.Errorf("the lock that keeps a second agent away cannot be had: %w%s", err, remedy)
}
