package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/internal/kubeletauths"
	"github.com/berth-registry/berth/internal/nodefs"
)

// DefaultKubeletDir is kubelet's root directory by default.
const DefaultKubeletDir = "/var/lib/kubelet"

// KubeletLogins are the files in docker's formats that a running kubelet looks for.
type KubeletLogins struct {
	// Path is config.json in kubelet's root directory, which it reads first.
	Path string
	// Unseen says why Path and the others are not known, with a remedy; "" if they are.
	Unseen string
	// Foreign are the files elsewhere that kubelet would use if no file were at Path.
	Foreign []ForeignLogins
	// Places are all paths that kubelet reads, Path first.
	Places []string
}

// ForeignLogins is a file that kubelet would use.
type ForeignLogins struct{ Path, Why string }

// FindKubeletLogins finds the places where the running kubelet looks for logins, and the files
// there that it would use. They are those of its process: command line, working directory and
// HOME. The files are looked at as kubelet sees them, through the root of its process, because this
// process may see others. Only HOME is kept of the environment.
func FindKubeletLogins(m Machine) KubeletLogins {
	unseen := func(format string, args ...any) KubeletLogins {
		return KubeletLogins{Unseen: fmt.Sprintf(format, args...)}
	}
	rights := "; give berth the right CAP_SYS_PTRACE, see " + docs.URL("credentials.md#kubelets-own-configjson")
	all, err := m.processes("kubelet")
	switch {
	case err != nil:
		return unseen("%v%s", err, rights)
	case len(all) == 0:
		return unseen("no process of kubelet is seen on this node%s", rights)
	case len(all) > 1:
		return unseen("%d processes of kubelet are seen; only one may run", len(all))
	}
	k := all[0]
	home, err := homeOf(m, k.pid)
	if err == nil && k.dir == "" {
		err = errors.New("its working directory cannot be read")
	}
	if err != nil {
		return unseen("kubelet's process %d: %v"+rights, k.pid, pathless(err))
	}
	root, err := nodefs.OpenRoot(filepath.Join(m.Proc, strconv.Itoa(k.pid), "root"))
	if err != nil {
		return unseen("the files of kubelet's process %d: %v"+rights, k.pid, pathless(err))
	}
	defer root.Close()
	places := k.loginPlaces(home)
	l := KubeletLogins{Path: places[0].path}
	dir := path.Dir(l.Path)
	ours, err := statIn(m.Root, dir)
	theirs, err2 := statIn(root, dir)
	if err != nil || err2 != nil || !os.SameFile(ours, theirs) {
		return unseen("%s is not the directory that kubelet sees under this name; mount kubelet's root directory there", m.Root.Path(dir))
	}
	own, _ := statIn(root, l.Path)
	for _, p := range places {
		l.Places = append(l.Places, p.path)
		if p.path == l.Path {
			continue
		}
		if why := p.used(root, own); why != "" {
			l.Foreign = append(l.Foreign, ForeignLogins{p.path, why})
		}
	}
	return l
}

// loginPlace is a path at which kubelet looks for a file.
type loginPlace struct {
	path   string
	format kubeletauths.Format
}

// loginPlaces lists the paths at which kubelet looks, in its order: each config.json first. A
// relative path is below the working directory, and without HOME its directory is that one.
func (p process) loginPlaces(home string) []loginPlace {
	rootDir := cmp.Or(p.option("root-dir", "root_dir"), DefaultKubeletDir)
	var all []loginPlace
	add := func(format kubeletauths.Format, elem ...string) {
		name := path.Join(path.Join(elem...), string(format))
		if !path.IsAbs(name) {
			if !path.IsAbs(p.dir) || strings.HasSuffix(p.dir, " (deleted)") {
				return // kubelet skips it, too
			}
			name = path.Join(p.dir, name)
		}
		place := loginPlace{name, format}
		if !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	add(kubeletauths.ConfigJSON, rootDir)
	add(kubeletauths.ConfigJSON, "")
	add(kubeletauths.ConfigJSON, home, ".docker")
	add(kubeletauths.ConfigJSON, "/.docker")
	for _, dir := range []string{rootDir, "", home, "/"} {
		add(kubeletauths.DockerCfg, dir)
	}
	return all
}

// maxLogins is the size of the largest file that is read; it must be a multiple of 1 MiB.
const maxLogins = 4 << 20

// used says why kubelet would use the file at a place, "" if it skips it. own is the file that it
// reads first, which may have further names.
func (p loginPlace) used(root *nodefs.Root, own fs.FileInfo) string {
	info, err := statIn(root, p.path)
	switch {
	case skipped(err):
		return ""
	case err != nil:
		return fmt.Sprintf("cannot be examined (%v), and kubelet may read it", pathless(err))
	case own != nil && os.SameFile(own, info), info.IsDir():
		return ""
	case !info.Mode().IsRegular():
		return "is not a regular file, and kubelet may read it"
	}
	content, err := root.ReadFileUpTo(p.path, maxLogins)
	switch {
	case skipped(err):
		return ""
	case err != nil:
		return fmt.Sprintf("cannot be read (%v), and kubelet may read it", pathless(err))
	}
	if _, err := kubeletauths.Parse(p.format, content); err != nil {
		return ""
	}
	return "kubelet takes its logins from this file"
}

// skipped reports whether kubelet gets the same error for a file, and goes on to the next one.
func skipped(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) ||
		errors.Is(err, unix.ENAMETOOLONG)
}

// statIn describes the file at a path of root; symlinks are followed below it.
func statIn(root *nodefs.Root, name string) (fs.FileInfo, error) {
	real, err := root.Resolve(name)
	if err != nil {
		return nil, err
	}
	return os.Stat(real)
}

// homeOf returns HOME of a process's environment, as it was started. Of several the first counts,
// as in package os.
func homeOf(m Machine, pid int) (string, error) {
	p, err := procOf(m, pid)
	if err != nil {
		return "", err
	}
	lines, err := p.Environ()
	for _, line := range lines {
		if home, ok := strings.CutPrefix(line, "HOME="); ok {
			return home, nil
		}
	}
	return "", err
}

// pathless removes the path from an error, which is one of this process, not of the node.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// ReadKubeletLogins returns the logins of a config.json of this node; none if kubelet skips it.
func ReadKubeletLogins(root *nodefs.Root, file string) []kubeletauths.Login {
	content, err := root.ReadFileUpTo(file, maxLogins)
	if err != nil {
		return nil
	}
	logins, err := kubeletauths.Parse(kubeletauths.ConfigJSON, content)
	if err != nil {
		return nil
	}
	return logins
}
