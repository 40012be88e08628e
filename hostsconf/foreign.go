package hostsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// foreign reads the directories that somebody else wrote below one certs.d.
// containerd's reader sees what was checked and nothing else: a copy in memory.
type foreign struct {
	dir     string // certs.d as this process sees it
	hostDir string // as the node sees it
	root    *os.Root
	stage   string
}

func (f *foreign) close() {
	if f.root != nil {
		f.root.Close()
	}
	if f.stage != "" {
		os.RemoveAll(f.stage)
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
		f.stage, err = newStage("")
	}
	return err
}

// resolve reads the directory name, which containerd uses for registry.
func (f *foreign) resolve(name, registry string) Resolution {
	r := Resolution{Registry: registry, Dir: name}
	hosts, err := f.hosts(name, registry)
	if skipped := (*skippedError)(nil); err != nil && !errors.As(err, &skipped) {
		r.Ignored = fmt.Errorf("%s: %w; mend or remove it: until then kubelet gets no credential for %s",
			path.Join(f.hostDir, name, fileName), err, registry)
		// It may ask the registry itself, too; so whose login is withheld
		// can be told.
		r.Hosts, r.AndUpstream = []ResolvedHost{{Host: Unreadable}}, true
		return r
	}
	r.Hosts = resolved(hosts)
	for i, h := range hosts {
		if _, strict := h.Client.Transport.(*http.Transport); !strict {
			// An http host with TLS keys: https is tried, and then http.
			r.Hosts[i].Scheme = "http"
		}
	}
	if last := len(r.Hosts) - 1; registry == Default && r.Hosts[last].Host == sampleName(registry) {
		r.Hosts, r.AndUpstream = r.Hosts[:last], true
	}
	return r
}

// hosts gives a copy of the directory to containerd's reader.
func (f *foreign) hosts(name, registry string) ([]docker.RegistryHost, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	info, err := f.root.Lstat(name)
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is a link, and who follows it may come somewhere else than containerd", errNotPlain, name)
	}
	content, err := f.read(name, fileName)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	copied := &memory{}
	defer copied.release()
	if err := copied.put(filepath.Join(f.stage, name, fileName), content); err != nil {
		return nil, err
	}
	if err := f.copyTLS(copied, name, content); err != nil {
		return nil, err
	}
	return readHosts(filepath.Join(f.stage, name), sampleName(registry))
}

// read reads a file of the directory name. A link that leads out of certs.d,
// or nowhere, is an error other than [fs.ErrNotExist].
func (f *foreign) read(name, file string) ([]byte, error) {
	file = filepath.Join(name, file)
	content, err := readPlain(f.root, file)
	if err == nil {
		return content, nil
	}
	if info, lerr := f.root.Lstat(file); lerr == nil && info.Mode()&fs.ModeSymlink != 0 && !errors.Is(err, errNotPlain) {
		// %v: for what the link names, a missing file is none of our business.
		return nil, fmt.Errorf("%w: it is a link that cannot be followed below %s (%v); put the file itself there", errNotPlain, f.hostDir, err)
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
				err = checkPlain(info)
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
			return fmt.Errorf("names %s: %w: it is outside %s", shownFile(file), errNotPlain, f.hostDir)
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
