package watch

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// problem is why not everything is watched.
type problem struct {
	why   string // "" if everything is watched; the same text as long as the cause is the same
	count int    // the number of directories and targets concerned; 0 for all
}

// problem returns the first reason in alphabetical order, so that it changes only if the reasons
// do.
func (g *graph) problem() problem {
	var p problem
	note := func(path string, err error) {
		if err == nil {
			return
		}
		p.count++
		if why := cannotWatch(path, err); p.why == "" || why < p.why {
			p.why = why
		}
	}
	for _, n := range g.nodes {
		note(n.path, n.err)
	}
	for _, t := range g.targets {
		note(t.path, t.err)
	}
	return p
}

func cannotWatch(path string, err error) string {
	var named *os.PathError
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "no free inotify watch (ENOSPC); raise fs.inotify.max_user_watches"
	case errors.Is(err, syscall.EMFILE):
		return outOfFiles
	case errors.Is(err, syscall.ENFILE):
		return outOfSystemFiles
	case errors.As(err, &named):
		return named.Error()
	}
	return fmt.Sprintf("%s: %v", path, err)
}

const (
	outOfFiles = "no free file descriptor in this process (EMFILE); " +
		"raise its limit (LimitNOFILE=, ulimit -n)"
	outOfSystemFiles = "no free file descriptor in the system (ENFILE); raise fs.file-max"
)

// cannotOpen explains why there is no inotify instance; see inotify_init(2).
func cannotOpen(err error) problem {
	switch {
	case errors.Is(err, syscall.EMFILE):
		// EMFILE has two causes. Only one of them also stops this process from opening a file.
		f, err := os.Open("/")
		if errors.Is(err, syscall.EMFILE) {
			return problem{why: outOfFiles}
		}
		if err == nil {
			f.Close()
		}
		return problem{why: "no free inotify instance (EMFILE); raise fs.inotify.max_user_instances"}
	case errors.Is(err, syscall.ENFILE):
		return problem{why: outOfSystemFiles}
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return problem{why: fmt.Sprintf(
			"inotify is not permitted (%v); allow inotify_init1 in the seccomp profile or sandbox", err)}
	}
	return problem{why: fmt.Sprintf("inotify: %v", err)}
}

func brokenNotifier(err error) problem {
	return problem{why: fmt.Sprintf("inotify failed: %v", err)}
}
