package hostsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/internal/plainfile"
)

// foreign reads directories below one certs.d that Berth did not write. containerd's reader gets
// a copy in memory, so it opens only files that were checked.
type foreign struct {
	dir     string // path of certs.d in this process
	hostDir string // path of certs.d on the node
	root    *os.Root
	stage   string
	unstage func()
}

func (f *foreign) close() {
	if f.root != nil {
		f.root.Close()
	}
	if f.stage != "" {
		f.unstage()
	}
}

// open prepares the reader when the first directory is read; most nodes have none.
func (f *foreign) open() (err error) {
	if f.root == nil {
		if f.root, err = os.OpenRoot(f.dir); err != nil {
			return err
		}
	}
	if f.stage == "" {
		f.stage, f.unstage, err = newStage("")
	}
	return err
}

// resolve reads the directory name, which containerd uses for registry, as every family of
// releases does, and returns the hosts that any of them asks. The running release may be unknown,
// and may change before the credential provider's rules are written again.
func (f *foreign) resolve(name, registry string) Resolution {
	r := Resolution{Registry: registry, Dir: name}
	err := f.copied(name, func(dir string) error {
		for _, family := range slices.Backward(Families()) {
			hosts, err := family.read(dir, sampleHost(registry), nil)
			skipped := (*skippedError)(nil)
			switch {
			case errors.Is(err, ErrCrashes):
				continue // this containerd asks no host
			case err != nil && !errors.As(err, &skipped):
				return fmt.Errorf("containerd %s: %w", family, err)
			}
			r.add(hosts)
		}
		return nil
	})
	if err != nil {
		r.Ignored = fmt.Errorf("%s: %w; fix or remove it: until then kubelet gets no credential for %s",
			path.Join(f.hostDir, name, fileName), err, registry)
		// Unknown hosts may include the registry itself. With AndUpstream the report can name the
		// login that is withheld.
		r.Hosts, r.AndUpstream = []ResolvedHost{{Host: Unreadable}}, true
	}
	return r
}

// add merges the hosts of one reading into r, without duplicates.
func (r *Resolution) add(hosts []docker.RegistryHost) {
	all := resolved(hosts)
	for i, h := range hosts {
		if _, strict := h.Client.Transport.(*http.Transport); !strict {
			// An http host with TLS keys: containerd tries https, then http.
			all[i].Scheme = "http"
		}
	}
	if last := len(all) - 1; r.Registry == Default && all[last].Host == sampleHost(r.Registry) {
		all, r.AndUpstream = all[:last], true
	}
	for _, h := range all {
		same := func(other ResolvedHost) bool { return reflect.DeepEqual(h, other) }
		if !slices.ContainsFunc(r.Hosts, same) {
			r.Hosts = append(r.Hosts, h)
		}
	}
}

// copied calls read with a copy of the directory name whose files are in memory.
func (f *foreign) copied(name string, read func(dir string) error) error {
	if err := f.open(); err != nil {
		return err
	}
	info, err := f.root.Lstat(name)
	switch {
	case err != nil:
		return plainfile.WithoutPath(err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is a symlink; containerd may resolve it to a different file", errNotRead, name)
	}
	content, err := f.read(name, fileName)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = nil, nil
	}
	if err != nil {
		return err
	}
	copied := &memory{}
	defer copied.release()
	if err := copied.put(filepath.Join(f.stage, name, fileName), content); err != nil {
		return err
	}
	if err := f.copyTLS(copied, name, content); err != nil {
		return err
	}
	return read(filepath.Join(f.stage, name))
}

// read reads a file of the directory name. A symlink that leads out of certs.d or to a missing
// file is an error other than [fs.ErrNotExist].
func (f *foreign) read(name, file string) ([]byte, error) {
	file = filepath.Join(name, file)
	content, err := readSafely(f.root, file)
	if err == nil {
		return content, nil
	}
	if info, lerr := f.root.Lstat(file); lerr == nil && info.Mode()&fs.ModeSymlink != 0 && !errors.Is(err, errNotRead) {
		// %v, not %w: a missing target must not count as a missing file.
		return nil, fmt.Errorf("%w: it is a symlink that cannot be resolved below %s (%v); replace it by the file itself", errNotRead, f.hostDir, err)
	}
	return nil, err
}

// copyTLS copies the files beside hosts.toml that it names. Their content does not change which
// hosts are asked, but containerd fails the pull if one is missing.
func (f *foreign) copyTLS(copied *memory, name string, content []byte) error {
	done := map[string]bool{filepath.Join(name, fileName): true}
	for _, file := range tlsFiles(content) {
		if filepath.IsAbs(file) {
			info, err := os.Stat(file)
			if err == nil {
				err = checkRegular(info)
			}
			if err != nil {
				return fmt.Errorf("names %s: %w", shownFile(file), plainfile.WithoutPath(err))
			}
			continue
		}
		at := filepath.Join(name, file)
		if done[at] {
			continue
		}
		done[at] = true
		if !filepath.IsLocal(at) {
			return fmt.Errorf("names %s: %w: it is outside %s", shownFile(file), errNotRead, f.hostDir)
		}
		pem, err := f.read(name, file)
		if err != nil {
			return fmt.Errorf("names %s: %w", shownFile(file), err)
		}
		if err := copied.put(filepath.Join(f.stage, at), pem); err != nil {
			return err
		}
	}
	return nil
}
