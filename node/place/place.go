// Package place puts the two programs of the credential provider, and the
// CredentialProviderConfig that names it, on a node. The init container of the chart runs
// it: its image has no shell to copy files with, and sees neither kubelet nor systemd.
//
// What it promises: the programs are in their place before the configuration names the
// provider, and are removed after it, because kubelet does not start when a provider that
// it is configured with is missing. Both programs are replaced, or neither. A file that
// Berth did not put there, or that was edited since, is left alone. kubelet's flags are
// never changed: that needs a restart of kubelet, which is the business of package
// node/install.
//
// Start reading at [Put].
package place

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/program"
	"github.com/berth-registry/berth/node/providerconfig"
)

// recordFile holds the hashes of the programs that Berth put on the node. A hash is
// written to it before its program appears.
const recordFile = record.DefaultStateDir + "/placed.json"

// Options are what is put where.
type Options struct {
	// Root is the node.
	Root *nodefs.Root
	// Program is the credential provider, as this process opens it. The program that asks
	// AWS is in the same directory.
	Program string
	// Dir and Config are where the programs and the configuration belong on the node.
	// Both directories have to exist.
	Dir, Config string
	// Text is the configuration.
	Text []byte
	Log  *slog.Logger
}

// placer carries out Options.
type placer struct{ Options }

// placed is the record: by path, the SHA-256 of the programs that Berth may have put there.
type placed map[string][]string

// source returns the path of a program as this process opens it.
func (p *placer) source(name string) string {
	if name == providerconfig.Provider {
		return p.Program
	}
	return filepath.Join(filepath.Dir(p.Program), name)
}

// Put puts the programs on the node, then the configuration.
func Put(o Options) error {
	p := &placer{o}
	ours, err := p.read()
	if err != nil {
		return err
	}
	if err := p.placePrograms(ours); err != nil {
		return err
	}
	if err := p.placeConfig(); err != nil {
		return fmt.Errorf("%s: %w", p.Config, err)
	}
	return nil
}

// copying is a program to copy.
type copying struct {
	from, file string // as this process opens them
	to         string // on the node
	hash       string // of from
	replaces   bool   // an earlier release of it is there
}

// placePrograms copies the programs that are missing or of an earlier release. If one of them is
// foreign, it replaces neither, because both must be of one version.
func (p *placer) placePrograms(ours placed) error {
	all, foreign, err := p.outdated(ours)
	if err != nil {
		return err
	}
	if foreign {
		all = slices.DeleteFunc(all, func(c copying) bool { return c.replaces })
	}
	if len(all) == 0 {
		return nil
	}
	// Until the rename, and after a kill, either program may be there.
	for _, c := range all {
		if !slices.Contains(ours[c.to], c.hash) {
			ours[c.to] = append(ours[c.to], c.hash)
		}
	}
	if err := p.write(ours); err != nil {
		return err
	}
	var files []program.Replacement
	for _, c := range all {
		from, err := os.Open(c.from)
		if err != nil {
			return err
		}
		defer from.Close()
		files = append(files, program.Replacement{File: c.file, Content: from})
	}
	if err := errors.Join(program.Sweep(filepath.Dir(all[0].file)), program.ReplaceAll(0o755, files...)); err != nil {
		return fmt.Errorf("%s: %w", p.Dir, err)
	}
	for _, c := range all {
		p.Log.Info("wrote a program of the credential provider", "path", c.to)
		ours[c.to] = []string{c.hash}
	}
	return p.write(ours)
}

// outdated returns the programs that differ from those to place and may be written, in the order of
// installation. foreign is true if one of the two was not put there by Berth.
func (p *placer) outdated(ours placed) (all []copying, foreign bool, err error) {
	for _, name := range providerconfig.Programs() {
		c := copying{from: p.source(name), to: path.Join(p.Dir, name)}
		if c.hash, _, err = program.Hash(c.from); err != nil {
			return nil, false, err
		}
		if c.file, err = p.Root.Resolve(c.to); err != nil {
			return nil, false, fmt.Errorf("%s: %w", c.to, err)
		}
		switch have, _, err := program.Hash(c.file); {
		case errors.Is(err, fs.ErrNotExist):
			all = append(all, c)
		case err != nil:
			return nil, false, fmt.Errorf("%s: %w", c.to, err)
		case have == c.hash:
		case slices.Contains(ours[c.to], have):
			c.replaces = true
			all = append(all, c)
		default:
			p.Log.Warn("the program was not put there by Berth; it is left alone, and no program beside it is replaced", "path", c.to)
			foreign = true
		}
	}
	return all, foreign, nil
}

// placeConfig writes the configuration unless the file there is foreign or edited.
func (p *placer) placeConfig() error {
	want := managedfile.File{Path: p.Config, Body: p.Text, Comment: "#"}.Content()
	have, err := p.Root.ReadFile(p.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(have, want) || bytes.Equal(have, p.Text):
		return nil
	case !record.Intact(have):
		p.Log.Warn("the configuration was not written by Berth, or was edited; it is left alone", "path", p.Config,
			"namesProvider", bytes.Contains(have, []byte(providerconfig.Provider)))
		return nil
	}
	file, err := p.Root.Resolve(p.Config)
	if err != nil {
		return err
	}
	if err := program.Replace(file, bytes.NewReader(want), 0o644, nil); err != nil {
		return err
	}
	p.Log.Info("wrote the configuration of the credential provider", "path", p.Config)
	return nil
}

// Remove removes what Put has put on the node: the configuration first, and the
// programs only if no configuration there names the provider any more.
func Remove(o Options) error {
	p := &placer{o}
	have, err := p.Root.ReadFile(p.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", p.Config, err)
	case record.Intact(have):
		if err := p.unlink(p.Config); err != nil {
			return err
		}
	case bytes.Contains(have, []byte(providerconfig.Provider)):
		p.Log.Warn("the configuration was not written by Berth, or was edited, and names the provider; it and the programs are left alone", "path", p.Config)
		return nil
	}
	ours, err := p.read()
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(providerconfig.Programs()) {
		if err := p.removeProgram(ours, path.Join(p.Dir, name)); err != nil {
			return err
		}
	}
	return p.write(ours)
}

// removeProgram removes a program that Berth put there, and takes it out of the record.
func (p *placer) removeProgram(ours placed, name string) error {
	file, err := p.Root.Resolve(name)
	if err != nil {
		return err
	}
	switch sum, _, err := program.Hash(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !slices.Contains(ours[name], sum):
		p.Log.Warn("the program was not put there by Berth; it is left alone", "path", name)
	default:
		if err := p.unlink(name); err != nil {
			return err
		}
	}
	delete(ours, name)
	return nil
}

func (p *placer) unlink(name string) error {
	file, err := p.Root.Resolve(name)
	if err != nil {
		return err
	}
	if err := program.Remove(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Log.Info("removed", "path", name)
	return nil
}

func (p *placer) read() (placed, error) {
	raw, err := p.Root.ReadFile(recordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return placed{}, nil
	}
	if err != nil {
		return nil, err
	}
	ours := placed{}
	if err := json.Unmarshal(raw, &ours); err != nil {
		return nil, fmt.Errorf("%s: %w; remove this record: Berth then leaves alone the programs that it put on the node", recordFile, err)
	}
	return ours, nil
}

// write writes the record, or removes it if it is empty.
func (p *placer) write(ours placed) error {
	file, err := p.Root.Resolve(recordFile)
	if err != nil {
		return err
	}
	if len(ours) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", recordFile, err)
		}
		return nil
	}
	raw, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	if err := program.Replace(file, bytes.NewReader(raw), 0o600, nil); err != nil {
		return fmt.Errorf("%s: %w", recordFile, err)
	}
	return nil
}
