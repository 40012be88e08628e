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

// placedProgram is a program of the credential provider that Berth put on the node. It is larger
// than the files that internal/managedfile keeps, and is never edited: its hash tells whether it is
// still ours.
type placedProgram struct {
	// Hashes are the SHA-256 of the programs that Berth may have put there.
	Hashes []string `json:"sha256"`
	// Made are the directories that were created for it, the outermost first.
	Made []string `json:"made,omitempty"`
}

// copying is how to put a program where kubelet looks for the provider.
type copying struct {
	to       string // on the node
	source   string // as this process opens it
	hash     string
	size     int64
	replaces bool // an earlier one that Berth put there
}

var errNoProgram = errors.New(providerconfig.Provider + " was not found; put it and " + providerconfig.Fetcher + " beside berth, or name it with --provider")

// Programs lists where the credential provider to install may be, for [Options]: named, or
// else beside this program, as in the container image, or where a package puts it on the
// node. [providerconfig.Fetcher] must be in the same directory.
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

// copyTo plans how to put the programs into a directory of the node, in the order of installation.
// If one of them is foreign, both stay, because both must be of one version; a missing one is
// written.
func (in *Installer) copyTo(dir string) (all []copying, notes []string, err error) {
	source, err := in.source()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range providerconfig.Programs() {
		to := path.Join(dir, name)
		there, err := in.present(to)
		switch {
		case err != nil:
			return nil, nil, err
		case source == "" && there == "" && name == providerconfig.Provider:
			return nil, nil, errNoProgram
		case source == "":
			continue
		}
		c := copying{to: to, source: source, replaces: there != ""}
		if name != providerconfig.Provider {
			c.source = filepath.Join(filepath.Dir(source), name)
		}
		c.hash, c.size, err = program.Hash(c.source)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, fmt.Errorf("%s: is missing; copy it there from the release of %s", c.source, source)
		case err != nil:
			return nil, nil, err
		case there == c.hash:
		case there == "" || slices.Contains(in.journal.Programs[to].Hashes, there):
			all = append(all, c)
		default:
			notes = append(notes, fmt.Sprintf("%s is a program that berth did not put there; it is used unchanged", to))
		}
	}
	if len(notes) == 0 {
		return all, nil, nil
	}
	all = slices.DeleteFunc(all, func(c copying) bool {
		if c.replaces {
			notes = append(notes, fmt.Sprintf("%s stays, too: both programs must be of one version", c.to))
		}
		return c.replaces
	})
	return all, notes, nil
}

// present returns the hash of a program on the node, "" if it is missing.
func (in *Installer) present(name string) (hash string, err error) {
	real, err := in.machine.Root.Resolve(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	info, err := os.Stat(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s: is not an executable file (%v); remove it", name, info.Mode())
	}
	hash, _, err = program.Hash(real)
	return hash, err
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

// put copies programs, all into one directory. A kubelet that starts one meanwhile gets the old one
// or the new one.
func (in *Installer) put(all []copying) error {
	if len(all) == 0 {
		return nil
	}
	dir := path.Dir(all[0].to)
	made := in.madeFor(dir)
	for _, c := range all {
		p := in.journal.Programs[c.to]
		in.journal.Programs[c.to] = placedProgram{Hashes: append(slices.Clone(p.Hashes), c.hash), Made: made}
		if err := in.step("note " + c.to); err != nil {
			return err
		}
	}
	if err := in.save(); err != nil {
		return err
	}
	for _, d := range made {
		real, err := in.machine.Root.Resolve(d)
		if err != nil {
			return err
		}
		if err := os.Mkdir(real, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	real, err := in.machine.Root.Resolve(dir)
	if err != nil {
		return err
	}
	_ = program.Sweep(real) // the next run sees it again
	if err := in.copyFiles(all, real); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, c := range all {
		in.say("wrote %s", c.to)
		in.journal.Programs[c.to] = placedProgram{Hashes: []string{c.hash}, Made: made}
	}
	return in.save()
}

// madeFor returns the directories that Berth creates, or has created, for programs in dir, the
// outermost first.
func (in *Installer) madeFor(dir string) []string {
	var made []string
	for _, name := range providerconfig.Programs() {
		if p := in.journal.Programs[path.Join(dir, name)]; len(p.Made) > 0 {
			made = slices.Clone(p.Made)
		}
	}
	for d := dir; ; d = path.Dir(d) {
		if _, err := in.machine.Root.Lstat(d); err == nil || d == "/" {
			return made
		}
		if !slices.Contains(made, d) {
			made = append([]string{d}, made...)
		}
	}
}

// copyFiles copies programs to their place, and fails if one has changed since it was planned.
func (in *Installer) copyFiles(all []copying, dir string) error {
	var files []program.Replacement
	for _, c := range all {
		from, err := os.Open(c.source)
		if err != nil {
			return err
		}
		defer from.Close()
		if err := in.step("copy " + c.to); err != nil {
			return err
		}
		h := sha256.New()
		files = append(files, program.Replacement{
			File: filepath.Join(dir, path.Base(c.to)), Content: io.TeeReader(from, h),
			Ready: func() error {
				if hex.EncodeToString(h.Sum(nil)) != c.hash {
					return errChanged
				}
				return in.step("rename " + c.to)
			},
		})
	}
	return program.ReplaceAll(0o755, files...)
}

// removeProgram removes a program that is still the one that Berth put there, and the directories
// that were created for it.
func (in *Installer) removeProgram(name string) error {
	p := in.journal.Programs[name]
	real, err := in.machine.Root.Resolve(name)
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
		real, err := in.machine.Root.Resolve(d)
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
