package nodefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// Root is the directory that contains the node's file system: "/" on a node, the mounted host in a
// container, a temporary directory in a test. Paths are absolute and slash-separated, as on the
// node. The kernel resolves symlinks as in a chroot at each use, so neither an absolute target nor
// ".." nor a symlink that is swapped in meanwhile leads out of it.
type Root struct {
	dir string
	f   *os.File
}

// OpenRoot opens dir as a root. It creates dir, and the directories above it, if they are missing.
// The caller must close the root.
func OpenRoot(dir string) (*Root, error) {
	if dir == "" {
		return nil, errors.New("root: the name of the directory is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	f, err := os.OpenFile(abs, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	return &Root{dir: abs, f: f}, nil
}

// Close releases the root. It changes no file.
func (r *Root) Close() error { return r.f.Close() }

// Path returns the path of hostPath for this process. It is for messages only: symlinks are not
// resolved.
func (r *Root) Path(hostPath string) string {
	return filepath.Join(r.dir, filepath.FromSlash(hostPath))
}

// Resolve returns a path of hostPath that this process can open, with symlinks resolved below the
// root. The file need not exist. A symlink that is changed afterwards can lead elsewhere, so use it
// only to read, or in directories that only root can write.
func (r *Root) Resolve(hostPath string) (string, error) {
	return securejoin.SecureJoin(r.dir, filepath.FromSlash(hostPath))
}

// maxRead is the limit of [Root.ReadFile] in bytes; a config with all its files fits.
const maxRead = 64 << 20

// ReadFile reads the regular file at hostPath; symlinks are followed below the root. A missing file
// is [fs.ErrNotExist]. A file larger than 64 MiB is an error.
func (r *Root) ReadFile(hostPath string) ([]byte, error) { return r.ReadFileUpTo(hostPath, maxRead) }

// ReadFileUpTo is ReadFile with a limit in bytes, which must be a multiple of 1 MiB.
func (r *Root) ReadFileUpTo(hostPath string, limit int64) ([]byte, error) {
	h, err := r.handle(hostPath)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if info, err := h.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: hostPath, Err: errors.New("not a regular file")}
	}
	f, err := pathrs.Reopen(h, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, pathError("open", hostPath, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, pathError("read", hostPath, err)
	}
	if int64(len(b)) > limit {
		return nil, &fs.PathError{Op: "read", Path: hostPath, Err: fmt.Errorf("larger than %d MiB", limit>>20)}
	}
	return b, nil
}

// Lstat describes the entry at hostPath. A symlink there is not followed; symlinks on the way are.
// A missing entry is [fs.ErrNotExist].
func (r *Root) Lstat(hostPath string) (fs.FileInfo, error) {
	parent, err := r.handle(path.Dir(hostPath))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(parent.Fd()), base(hostPath), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, pathError("lstat", hostPath, err)
	}
	f := os.NewFile(uintptr(fd), hostPath)
	defer f.Close()
	return f.Stat()
}

// handle opens hostPath without access to its content (O_PATH).
func (r *Root) handle(hostPath string) (*os.File, error) {
	if err := CheckPath(hostPath); err != nil {
		return nil, err
	}
	h, err := pathrs.OpenatInRoot(r.f, hostPath)
	if err != nil {
		return nil, pathError("open", hostPath, err)
	}
	return h, nil
}

// OpenDir opens the directory at hostPath; symlinks are followed below the root.
func (r *Root) OpenDir(hostPath string, step func(Step) error) (*Dir, error) {
	h, err := r.handle(hostPath)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return openAt(int(h.Fd()), ".", hostPath, step)
}

// MakeDir creates one directory with exactly this mode and owner. step is called before each change
// to the file system, see [Step].
func (r *Root) MakeDir(hostPath string, m Meta, step func(Step) error) error {
	parent, err := r.OpenDir(path.Dir(hostPath), step)
	if err != nil {
		return err
	}
	defer parent.Close()
	name := path.Base(hostPath)
	if err := parent.Mkdir(name, uint32(m.Mode)); err != nil {
		return err
	}
	d, err := parent.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.SetMeta(m); err != nil { // independent of the umask
		return err
	}
	return parent.Sync()
}

// Missing lists the directories of hostPath that do not exist, including hostPath itself, outermost
// first.
func (r *Root) Missing(hostPath string) ([]string, error) {
	var absent []string
	for p := hostPath; ; p = path.Dir(p) {
		h, err := r.handle(p)
		if err == nil {
			h.Close()
			return absent, nil
		}
		if !securejoin.IsNotExist(err) || p == "/" {
			return nil, err
		}
		absent = append([]string{p}, absent...)
	}
}

// CheckPath refuses a string that is not a host path, so that a caller's mistake or a damaged
// record cannot name an unexpected file.
func CheckPath(hostPath string) error {
	if !path.IsAbs(hostPath) || path.Clean(hostPath) != hostPath || strings.ContainsRune(hostPath, 0) {
		return fmt.Errorf("%q: not an absolute, clean path", hostPath)
	}
	return nil
}

func base(hostPath string) string {
	if hostPath == "/" {
		return "."
	}
	return path.Base(hostPath)
}

// pathError replaces the path in err by the node's path.
func pathError(op, hostPath string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &fs.PathError{Op: op, Path: hostPath, Err: err}
}
