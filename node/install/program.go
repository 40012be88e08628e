package install

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/program"
	"github.com/berth-registry/berth/node/providerconfig"
)

// placedProgram is a credential provider that Berth put on the node. It is larger than the files
// that internal/managedfile keeps, and is never edited: its hash tells whether it is still ours.
type placedProgram struct {
	// Hashes are the SHA-256 of the programs that Berth may have put there.
	Hashes []string `json:"sha256"`
	// Made are the directories that were created for it, the outermost first.
	Made []string `json:"made,omitempty"`
}

// copying is how to put the provider where kubelet looks for it.
type copying struct {
	to     string // on the node
	source string // as this process opens it; "" if the present program stays
	hash   string
	size   int64
	note   string
}

var errNoProgram = errors.New(providerconfig.Provider + " was not found; put it beside berth, or name it with --provider")

// Programs lists where the credential provider to install may be, for [Options]: named, or
// else beside this program, as in the container image, or where a package puts it on the
// node.
func Programs(root *nodefs.Root, named string) []string {
	if named != "" {
		return []string{named}
	}
	var all []string
	if self, err := os.Executable(); err == nil {
		all = append(all, filepath.Join(filepath.Dir(self), providerconfig.Provider))
	}
	for _, dir := range []string{"/usr/bin", "/usr/libexec/berth", "/usr/lib/berth"} {
		if file, err := root.Resolve(filepath.Join(dir, providerconfig.Provider)); err == nil {
			all = append(all, file)
		}
	}
	return all
}

// copyTo plans how to put the provider into a directory of the node.
func (in *Installer) copyTo(dir string) (copying, error) {
	c := copying{to: path.Join(dir, providerconfig.Provider)}
	real, err := in.host.Root.Resolve(c.to)
	if err != nil {
		return c, fmt.Errorf("%s: %w", c.to, err)
	}
	there, err := os.Stat(real)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if exists && (!there.Mode().IsRegular() || there.Mode()&0o111 == 0) {
		return c, fmt.Errorf("%s: is not an executable file (%v); remove it", c.to, there.Mode())
	}
	source, err := in.source()
	if err != nil {
		return c, err
	}
	if source == "" {
		if exists {
			return c, nil
		}
		return c, errNoProgram
	}
	if c.hash, c.size, err = program.Hash(source); err != nil {
		return c, err
	}
	if !exists {
		c.source = source
		return c, nil
	}
	old, _, err := program.Hash(real)
	switch {
	case err != nil:
		return c, err
	case old == c.hash:
	case slices.Contains(in.journal.Programs[c.to].Hashes, old):
		c.source = source
	default:
		c.note = fmt.Sprintf("%s is a program that berth did not put there; it is used unchanged", c.to)
	}
	return c, nil
}

// source is the first program that exists, "" if there is none.
func (in *Installer) source() (string, error) {
	for _, file := range in.o.Programs {
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s: is not a file", file)
		}
		return file, nil
	}
	return "", nil
}

// put copies the program. A kubelet that starts it meanwhile gets the old one or the new one.
func (in *Installer) put(c copying) error {
	if c.source == "" {
		return nil
	}
	dir := path.Dir(c.to)
	p := in.journal.Programs[c.to]
	p.Hashes = append(slices.Clone(p.Hashes), c.hash)
	for d := dir; ; d = path.Dir(d) {
		if _, err := in.host.Root.Lstat(d); err == nil || d == "/" {
			break
		}
		if !slices.Contains(p.Made, d) {
			p.Made = append([]string{d}, p.Made...)
		}
	}
	in.journal.Programs[c.to] = p
	if err := in.step("note " + c.to); err != nil {
		return err
	}
	if err := in.save(); err != nil {
		return err
	}
	for _, d := range p.Made {
		real, err := in.host.Root.Resolve(d)
		if err != nil {
			return err
		}
		if err := os.Mkdir(real, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	real, err := in.host.Root.Resolve(dir)
	if err != nil {
		return err
	}
	_ = program.Sweep(real) // the next run sees it again
	if err := in.copyFile(c, real); err != nil {
		return fmt.Errorf("%s: %w", c.to, err)
	}
	in.say("wrote %s", c.to)
	p.Hashes = []string{c.hash}
	in.journal.Programs[c.to] = p
	return in.save()
}

// copyFile copies the program to its place, and fails if it has changed since it was planned.
func (in *Installer) copyFile(c copying, dir string) error {
	from, err := os.Open(c.source)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := in.step("copy " + c.to); err != nil {
		return err
	}
	h := sha256.New()
	return program.Replace(filepath.Join(dir, providerconfig.Provider), io.TeeReader(from, h), 0o755, func() error {
		if hex.EncodeToString(h.Sum(nil)) != c.hash {
			return errChanged
		}
		return in.step("rename " + c.to)
	})
}

// removeProgram removes a program that is still the one that Berth put there, and the directories
// that were created for it.
func (in *Installer) removeProgram(name string) error {
	p := in.journal.Programs[name]
	real, err := in.host.Root.Resolve(name)
	if err != nil {
		return err
	}
	_ = program.Sweep(filepath.Dir(real)) // the next run sees it again
	sum, _, err := program.Hash(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !slices.Contains(p.Hashes, sum):
		in.say("left alone %s: it is not the one that berth put there", name)
	default:
		if err := in.step("remove " + name); err != nil {
			return err
		}
		if err := os.Remove(real); err != nil {
			return err
		}
		in.say("removed %s", name)
	}
	for _, d := range slices.Backward(p.Made) {
		real, err := in.host.Root.Resolve(d)
		if err == nil {
			err = os.Remove(real)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // a run that was killed here has removed it
		}
		if err != nil {
			break // it is not empty
		}
	}
	delete(in.journal.Programs, name)
	return in.save()
}
