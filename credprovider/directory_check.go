package credprovider

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/plainfile"
)

// Digest returns the hash by which the rules name the content of a hosts.toml. The content alone
// decides which hosts containerd asks, so it is compared instead of a time or an inode.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// maxForeign is the size of the largest foreign file that is read, in bytes.
const maxForeign = 1 << 20

// foundDirectory is what containerd finds for the images of one registry.
type foundDirectory struct {
	dir    string // on the node; "" without a directory
	digest string // of its hosts.toml, "" without one
	err    error  // why it cannot be read
}

// checkUnchanged compares the hosts.toml that containerd finds on the node for an image with those
// that the rules were made for. Nothing is parsed: the rules name contents by their digest. Without
// a hosts.toml containerd asks the registry itself; that is allowed if the registry may have the
// credential. The error is a *[WithheldError].
func (p *Provider) checkUnchanged(decision Decision) error {
	r := p.Rules
	if r.CertsDir == "" && !r.Missing {
		return nil
	}
	registry := decision.Image.Registry
	known := r.directory(registry).Files
	for _, s := range p.searched() {
		f := p.find(s.roots, registry)
		same := slices.Contains(known, f.digest)
		if f.digest == "" { // known may have it: the rules are then true without a file, too
			same = f.err == nil && (same || len(known) == 0 || decision.given() && decision.asksRegistry())
		}
		if !same {
			return &WithheldError{
				Image: decision.Image.Name, Registry: registry, Directory: decision.Directory, Owner: decision.owner,
				Changed: r.difference(registry, s, f),
			}
		}
	}
	return nil
}

// difference describes how the node differs from the rules, and names the command that fixes it.
func (r Rules) difference(registry string, s search, f foundDirectory) string {
	const again = "run: berth apply"
	file := path.Join(f.dir, "hosts.toml")
	switch {
	case f.err != nil:
		return fmt.Sprintf("%s cannot be read (%v); fix or remove it, then %s", file, f.err, again)
	case r.Missing:
		return file + " says who is asked, and there are no rules that know it; remove it, or " + again
	case s.from != "" && f.dir == "":
		return fmt.Sprintf("%s has config_path %q, where nothing is for %s; set containerd.certsDir to that directory, then %s",
			s.from, s.value, registry, again)
	case s.from != "":
		return fmt.Sprintf("%s has config_path %q, and the rules do not know %s; set containerd.certsDir to that directory, then %s",
			s.from, s.value, file, again)
	case f.dir == "":
		return fmt.Sprintf("%s: the directory for %s is missing, for which the rules were made; %s", r.CertsDir, registry, again)
	case f.digest == "":
		return file + " is missing, for which the rules were made; " + again
	}
	return file + " is not as it was when the rules were made; " + again
}

// find returns the directory that containerd uses for a registry: that of the first of roots that
// has one. Symlinks are followed; a dangling one counts as missing.
func (p *Provider) find(roots []string, registry string) foundDirectory {
	names := slices.Compact([]string{hostport.Directory(registry), registry, "_default"})
	for _, root := range roots {
		if err := p.stat(root); errors.Is(err, fs.ErrNotExist) {
			continue // most of the roots belong to other distributions
		}
		for _, name := range names {
			dir := path.Join(root, name)
			if err := p.stat(dir); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return foundDirectory{dir: dir, err: plainfile.WithoutPath(err)}
			}
			content, err := p.read(path.Join(dir, "hosts.toml"))
			if errors.Is(err, fs.ErrNotExist) {
				return foundDirectory{dir: dir}
			}
			if err != nil {
				return foundDirectory{dir: dir, err: plainfile.WithoutPath(err)}
			}
			return foundDirectory{dir: dir, digest: Digest(content)}
		}
	}
	return foundDirectory{}
}

func (p *Provider) path(hostPath string) (string, error) {
	if p.Resolve == nil {
		return hostPath, nil
	}
	return p.Resolve(hostPath)
}

// stat returns nil if a path exists. Symlinks are followed.
func (p *Provider) stat(hostPath string) error {
	name, err := p.path(hostPath)
	if err == nil {
		_, err = os.Stat(name)
	}
	return err
}

// read reads a foreign file of the node, a regular one of at most 1 MiB.
func (p *Provider) read(hostPath string) ([]byte, error) {
	name, err := p.path(hostPath)
	if err != nil {
		return nil, err
	}
	content, _, err := readRegular(name, 0, maxForeign)
	return content, err
}
