package credprovider

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/berth-registry/berth/internal/hostport"
)

// Digest stands for the content of a hosts.toml in the rules. It decides who is
// asked, whenever and by whatever the file was written; so it is what is
// compared, and not a time or an inode.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// maxForeign bounds what is read of a file that is not Berth's, in bytes.
const maxForeign = 1 << 20

// foundDirectory is what containerd finds for the images of one registry.
type foundDirectory struct {
	dir    string // on the node; "" when no directory is there
	digest string // of its hosts.toml, "" when that is not there
	err    error  // why it cannot be read
}

// checkUnchanged compares what containerd finds on the node for an image with what
// the rules were made for. Nothing is parsed: they name the contents that they
// know. Without a hosts.toml containerd asks the registry itself, which is right
// when the registry may have the credential anyway. The error is a
// *[WithheldError].
func (p *Provider) checkUnchanged(plan Plan) error {
	r := p.Rules
	if r.CertsDir == "" && !r.Missing {
		return nil
	}
	registry := plan.Image.Registry
	known := r.directory(registry).Files
	for _, s := range p.searched() {
		f := p.find(s.roots, registry)
		same := slices.Contains(known, f.digest)
		if f.digest == "" {
			same = f.err == nil && (len(known) == 0 || plan.given() && plan.asksRegistry())
		}
		if !same {
			return &WithheldError{
				Image: plan.Image.Name, Registry: registry, Directory: plan.Directory, Owner: plan.owner,
				Changed: r.difference(registry, s, f),
			}
		}
	}
	return nil
}

// decide is [Rules.Plan], unless the rules do not tell who is asked any more:
// then that is the reason, also of what they withhold.
func (p *Provider) decide(image string) (Plan, error) {
	plan, err := p.Rules.Plan(image)
	withheld, ok := errors.AsType[*WithheldError](err)
	if plan.owner == "" || ok && withheld.unreadable() {
		return plan, err // nothing is meant for any host, or apply cannot tell either
	}
	if changed := p.checkUnchanged(plan); changed != nil {
		return plan, changed
	}
	return plan, err
}

// Check is [Provider.Credential] without the credential: it gives the error that
// an image would get before any token is looked for.
func (p *Provider) Check(image string) error {
	_, err := p.decide(image)
	return err
}

// difference says what is not as the rules have it, and what to run.
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
		return fmt.Sprintf("%s has no directory for %s any more, and the rules were made for one; %s", r.CertsDir, registry, again)
	case f.digest == "":
		return file + " is not there any more, and the rules were made for one; " + again
	}
	return file + " is not as it was when the rules were made; " + again
}

// given reports whether the rules give a credential.
func (p Plan) given() bool { return p.Login != nil || p.ECR != nil }

// asksRegistry reports whether the registry of the image is among the hosts that
// may have the credential.
func (p Plan) asksRegistry() bool {
	return slices.ContainsFunc(p.Hosts, func(h Host) bool {
		return h.Path == "" && !h.Insecure && SameHost(h.Host, p.Image.Registry, "https")
	})
}

// find looks for the directory of a registry as containerd does: in the first of
// roots that has one. Links are followed; one that leads nowhere is not there.
func (p *Provider) find(roots []string, registry string) foundDirectory {
	names := slices.Compact([]string{hostport.Directory(registry), registry, "_default"})
	for _, root := range roots {
		if err := p.stat(root); errors.Is(err, fs.ErrNotExist) {
			continue // most of them are on another distribution
		}
		for _, name := range names {
			dir := path.Join(root, name)
			if err := p.stat(dir); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return foundDirectory{dir: dir, err: reason(err)}
			}
			content, err := p.read(path.Join(dir, "hosts.toml"))
			if errors.Is(err, fs.ErrNotExist) {
				return foundDirectory{dir: dir}
			}
			if err != nil {
				return foundDirectory{dir: dir, err: reason(err)}
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

// stat reports whether something is at a path, links followed.
func (p *Provider) stat(hostPath string) error {
	name, err := p.path(hostPath)
	if err == nil {
		_, err = os.Stat(name)
	}
	return err
}

// read reads a file of the node that anybody may have written: a regular one of
// at most 1 MiB, and nothing that opening would wait for.
func (p *Provider) read(hostPath string) ([]byte, error) {
	name, err := p.path(hostPath)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxForeign {
		return nil, errors.New("it is no regular file of at most 1 MiB")
	}
	return io.ReadAll(io.LimitReader(f, maxForeign+1))
}

// reason leaves out the path that the message names already.
func reason(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
