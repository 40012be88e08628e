// Package place puts the credential provider, and the CredentialProviderConfig that
// names it, on a node. The init container of the chart runs it: its image has no
// shell to copy files with, and sees neither kubelet nor systemd.
//
// What it promises: the program is in its place before the configuration names it, and
// is removed after it, because kubelet does not start when a provider that it is
// configured with is missing. A file that Berth did not put there, or that was edited
// since, is left alone. kubelet's flags are never changed: that needs a restart of
// kubelet, which is the business of package node/install.
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
	// Program is the credential provider, as this process opens it.
	Program string
	// Dir and Config are where the program and the configuration belong on the node.
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

func (p *placer) target() string { return path.Join(p.Dir, providerconfig.Provider) }

// Put puts the program on the node, then the configuration.
func Put(o Options) error {
	p := &placer{o}
	ours, err := p.read()
	if err != nil {
		return err
	}
	if err := p.placeProgram(ours); err != nil {
		return fmt.Errorf("%s: %w", p.target(), err)
	}
	if err := p.placeConfig(); err != nil {
		return fmt.Errorf("%s: %w", p.Config, err)
	}
	return nil
}

func (p *placer) placeProgram(ours placed) error {
	want, _, err := program.Hash(p.Program)
	if err != nil {
		return err
	}
	file, err := p.Root.Resolve(p.target())
	if err != nil {
		return err
	}
	switch have, _, err := program.Hash(file); {
	case err == nil && have == want:
		return nil
	case err == nil && !slices.Contains(ours[p.target()], have):
		p.Log.Warn("the program was not put there by Berth; it is left alone", "path", p.target())
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Until the rename, and after a kill, either program may be there.
	if !slices.Contains(ours[p.target()], want) {
		ours[p.target()] = append(ours[p.target()], want)
		if err := p.write(ours); err != nil {
			return err
		}
	}
	from, err := os.Open(p.Program)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := errors.Join(program.Sweep(filepath.Dir(file)), program.Replace(file, from, 0o755, nil)); err != nil {
		return err
	}
	p.Log.Info("wrote the credential provider", "path", p.target())
	if len(ours[p.target()]) == 1 {
		return nil
	}
	ours[p.target()] = []string{want}
	return p.write(ours)
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
// program only if no configuration there names it any more.
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
		p.Log.Warn("the configuration was not written by Berth, or was edited, and names the provider; both are left alone", "path", p.Config)
		return nil
	}
	ours, err := p.read()
	if err != nil {
		return err
	}
	file, err := p.Root.Resolve(p.target())
	if err != nil {
		return err
	}
	switch sum, _, err := program.Hash(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", p.target(), err)
	case !slices.Contains(ours[p.target()], sum):
		p.Log.Warn("the program was not put there by Berth; it is left alone", "path", p.target())
	default:
		if err := p.unlink(p.target()); err != nil {
			return err
		}
	}
	delete(ours, p.target())
	return p.write(ours)
}

func (p *placer) unlink(name string) error {
	file, err := p.Root.Resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Remove(file), program.SyncDir(filepath.Dir(file))); err != nil {
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
