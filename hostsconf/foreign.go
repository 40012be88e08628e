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
)

// foreign reads the directories that somebody else wrote below one certs.d.
// containerd's reader sees what was checked and nothing else: a copy in memory.
type foreign struct {
	dir     string // certs.d as this process sees it
	hostDir string // as the node sees it
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

// open prepares for the first directory; most nodes have none.
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

// resolve reads the directory name, which containerd uses for registry, as
// every family of releases does. Its hosts are those that any of them asks: the
// release that runs may be unknown, and may be another one before the credential
// provider's rules are written again.
func (f *foreign) resolve(name, registry string) Resolution {
	r := Resolution{Registry: registry, Dir: name}
	err := f.copied(name, func(dir string) error {
		for _, family := range slices.Backward(Families()) {
			hosts, err := family.read(dir, sampleHost(registry), nil)
			skipped := (*skippedError)(nil)
			switch {
			case errors.Is(err, ErrCrashes):
				continue // such a containerd asks nothing at all
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
		// It may ask the registry itself, too, so that the report can name the
		// login that is withheld.
		r.Hosts, r.AndUpstream = []ResolvedHost{{Host: Unreadable}}, true
	}
	return r
}

// add joins the hosts of one reading to those of the others.
func (r *Resolution) add(hosts []docker.RegistryHost) {
	all := resolved(hosts)
	for i, h := range hosts {
		if _, strict := h.Client.Transport.(*http.Transport); !strict {
			// An http host with TLS keys: https is tried, and then http.
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

// copied calls read with a copy of the directory name, in memory.
func (f *foreign) copied(name string, read func(dir string) error) error {
	if err := f.open(); err != nil {
		return err
	}
	info, err := f.root.Lstat(name)
	switch {
	case err != nil:
		return withoutPath(err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is a link, and who follows it may come somewhere else than containerd", errNotRegular, name)
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

// read reads a file of the directory name. A link that leads out of certs.d,
// or nowhere, is an error other than [fs.ErrNotExist].
func (f *foreign) read(name, file string) ([]byte, error) {
	file = filepath.Join(name, file)
	content, err := readSafely(f.root, file)
	if err == nil {
		return content, nil
	}
	if info, lerr := f.root.Lstat(file); lerr == nil && info.Mode()&fs.ModeSymlink != 0 && !errors.Is(err, errNotRegular) {
		// %v: for what the link names, a missing file is none of our business.
		return nil, fmt.Errorf("%w: it is a link that cannot be followed below %s (%v); put the file itself there", errNotRegular, f.hostDir, err)
	}
	return nil, err
}

// copyTLS puts the files beside hosts.toml that it names. What they hold does
// not decide who is asked, but without them containerd would fail the pull.
func (f *foreign) copyTLS(copied *memory, name string, content []byte) error {
	done := map[string]bool{filepath.Join(name, fileName): true}
	for _, file := range tlsFiles(content) {
		if filepath.IsAbs(file) {
			info, err := os.Stat(file)
			if err == nil {
				err = checkRegular(info)
			}
			if err != nil {
				return fmt.Errorf("names %s: %w", shownFile(file), withoutPath(err))
			}
			continue
		}
		at := filepath.Join(name, file)
		if done[at] {
			continue
		}
		done[at] = true
		if !filepath.IsLocal(at) {
			return fmt.Errorf("names %s: %w: it is outside %s", shownFile(file), errNotRegular, f.hostDir)
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
