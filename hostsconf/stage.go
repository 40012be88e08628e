package hostsconf

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/filelock"
	"github.com/berth-registry/berth/internal/managedfile"
)

// stagePrefix begins the names of stage directories. It differs from the prefix of earlier
// releases, which removed directories by process number.
const stagePrefix = "berth-stage-"

// newStage creates a private directory below scratch ("" means the system's temporary directory)
// and removes stages that killed processes left. Stages hold only symlinks. The caller must call
// remove.
//
// A stage is locked until its process ends. Process numbers would not do: they mean nothing in
// another PID namespace that shares scratch.
func newStage(scratch string) (dir string, remove func(), err error) {
	if scratch == "" {
		scratch = os.TempDir()
	}
	old, _ := filepath.Glob(filepath.Join(scratch, stagePrefix+"*"))
	for _, dir := range old {
		if lock, err := lockStage(dir); err == nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
	for range stageTries {
		if dir, err = os.MkdirTemp(scratch, stagePrefix); err != nil {
			break
		}
		var lock *os.File
		if lock, err = lockStage(dir); err == nil {
			return dir, func() { os.RemoveAll(dir); lock.Close() }, nil
		}
	}
	return "", nil, fmt.Errorf("temporary directory to verify files (TMPDIR): %w", err)
}

// stageTries is how often another process may remove a directory between its creation and its
// locking.
const stageTries = 10

// lockStage locks a directory. It fails if another process holds the lock, or if the directory at
// that path was replaced.
func lockStage(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	err = filelock.ExclusiveAt(f, func() (os.FileInfo, error) { return os.Lstat(dir) })
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// memory holds unnamed files, so nothing of them is left if the process is killed.
type memory struct {
	files []*os.File
	links []string
}

// link stores files in memory and creates symlinks to them below stage, at the paths where
// containerd looks for them.
func link(stage string, files []managedfile.File) (*memory, error) {
	m := &memory{}
	for _, f := range files {
		name := filepath.Join(stage, filepath.Base(filepath.Dir(f.Path)), filepath.Base(f.Path))
		if err := m.put(name, f.Content()); err != nil {
			return m, err
		}
	}
	return m, nil
}

// put stores content in memory and creates name, with its directories, as a symlink to it.
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
