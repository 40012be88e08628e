package managedfile

import (
	"io/fs"
	"os"
	"path"
	"time"

	"pgregory.net/rapid"
)

// Foreign changes. Each does nothing if it is impossible on the current node.

func (m *sequence) pick(rt *rapid.T) (dir, p string) {
	dir = certs + "/" + rapid.SampledFrom(propHosts).Draw(rt, "host")
	return dir, dir + "/" + rapid.SampledFrom(propNames).Draw(rt, "name")
}

// finish sets an owner and a time of a path that only its owner would set.
func (m *sequence) finish(rt *rapid.T, p string) {
	if os.Geteuid() == 0 {
		m.w.must(os.Lchown(m.w.path(p), rapid.SampledFrom([]int{0, 1000}).Draw(rt, "uid"), rapid.SampledFrom([]int{0, 100}).Draw(rt, "gid")))
	}
	info, err := os.Lstat(m.w.path(p))
	m.w.must(err)
	if info.Mode().IsRegular() {
		m.clock++
		at := time.Unix(1_600_000_000+m.clock, 42)
		m.w.must(os.Chtimes(m.w.path(p), at, at))
	}
}

func (m *sequence) isDir(p string) bool {
	info, err := os.Lstat(m.w.path(p))
	return err == nil && info.IsDir()
}

func (m *sequence) isFile(p string) bool {
	info, err := os.Lstat(m.w.path(p))
	return err == nil && info.Mode().IsRegular()
}

func (m *sequence) foreignWrite(rt *rapid.T) {
	dir, p := m.pick(rt)
	if m.w.exists(dir) && !m.isDir(dir) {
		return
	}
	m.w.remove(p)
	content := rapid.SampledFrom([]string{"", "x\n", "y\n", "server = \"https://z\"\n"}).Draw(rt, "content")
	m.w.write(p, content, rapid.SampledFrom([]fs.FileMode{0o600, 0o644, 0o604, 0o4755}).Draw(rt, "mode"))
	m.finish(rt, p)
}

func (m *sequence) foreignAppend(rt *rapid.T) {
	if _, p := m.pick(rt); m.isDir(path.Dir(p)) && m.isFile(p) {
		m.w.append(p, rapid.SampledFrom([]string{"e\n", "f\n"}).Draw(rt, "edit"))
		m.finish(rt, p)
	}
}

func (m *sequence) foreignDelete(rt *rapid.T) {
	if _, p := m.pick(rt); m.isDir(path.Dir(p)) {
		m.w.remove(p)
	}
}

func (m *sequence) foreignChmod(rt *rapid.T) {
	dir, p := m.pick(rt)
	if rapid.Bool().Draw(rt, "the directory") {
		p = dir
	}
	if m.isDir(dir) && (p == dir || m.isFile(p)) {
		m.w.must(os.Chmod(m.w.path(p), rapid.SampledFrom([]fs.FileMode{0o700, 0o750, 0o755}).Draw(rt, "mode")))
	}
}

func (m *sequence) foreignLink(rt *rapid.T) {
	if dir, p := m.pick(rt); m.isDir(dir) {
		m.w.remove(p)
		m.w.must(os.Symlink(rapid.SampledFrom([]string{"../a.io/hosts.toml", "/etc/passwd", "nowhere"}).Draw(rt, "target"), m.w.path(p)))
		m.finish(rt, p)
	}
}

func (m *sequence) foreignMkdir(rt *rapid.T) {
	dir, p := m.pick(rt)
	if rapid.Bool().Draw(rt, "in the file's place") && m.isDir(dir) {
		dir = p
	}
	if !m.w.exists(dir) {
		m.w.mkdir(dir, rapid.SampledFrom([]fs.FileMode{0o700, 0o755}).Draw(rt, "mode"))
		m.finish(rt, dir)
	}
}

func (m *sequence) foreignRemoveDir(rt *rapid.T) {
	dir, _ := m.pick(rt)
	m.w.remove(dir)
}

func (m *sequence) foreignLinkDir(rt *rapid.T) {
	if dir, _ := m.pick(rt); !m.w.exists(dir) && m.isDir(certs) {
		m.w.must(os.Symlink(rapid.SampledFrom([]string{"a.io", "/", "../../.."}).Draw(rt, "target"), m.w.path(dir)))
		m.finish(rt, dir)
	}
}
