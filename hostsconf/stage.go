package hostsconf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/ownedfile"
)

// stagePrefix begins the names of the directories in which files are read back;
// the process that made it follows.
const stagePrefix = "berth-verify-"

// newStage makes a private directory below scratch ("" is the system's), and
// removes those of processes that were killed. Nothing but links is in them.
func newStage(scratch string) (string, error) {
	if scratch == "" {
		scratch = os.TempDir()
	}
	old, _ := filepath.Glob(filepath.Join(scratch, stagePrefix+"*"))
	for _, dir := range old {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), stagePrefix), "-")
		n, err := strconv.Atoi(pid)
		if err == nil && n > 0 && errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			os.RemoveAll(dir)
		}
	}
	stage, err := os.MkdirTemp(scratch, fmt.Sprintf("%s%d-", stagePrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("a directory to read files back in (TMPDIR): %w", err)
	}
	return stage, nil
}

// memory holds files that have no name: nothing of them is left when the
// process is killed.
type memory struct {
	files []*os.File
	links []string
}

// link puts files into memory, and links to them below stage where containerd
// would find them.
func link(stage string, files []ownedfile.File) (*memory, error) {
	m := &memory{}
	for _, f := range files {
		name := filepath.Join(stage, filepath.Base(filepath.Dir(f.Path)), filepath.Base(f.Path))
		if err := m.put(name, f.Content()); err != nil {
			return m, err
		}
	}
	return m, nil
}

// put makes name, in directories that are made for it, a link to content.
func (m *memory) put(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("berth-verify", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "berth-verify")
	m.files = append(m.files, file)
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", fd), name); err != nil {
		return err
	}
	m.links = append(m.links, name)
	return nil
}

func (m *memory) release() {
	for _, f := range m.files {
		f.Close()
	}
	for _, name := range m.links {
		os.Remove(name)
	}
}
