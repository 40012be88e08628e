package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile"
)

const (
	program = "berth-credential-provider"
	// record tells which programs we put somewhere, by their hash: it is kept
	// before a program appears.
	record = managedfile.DefaultStateDir + "/placed.json"
)

// placer knows where things go.
type placer struct {
	root        *managedfile.Root
	log         *slog.Logger
	source      string // as this process opens it
	dir, config string // on the node
	text        []byte // of the configuration
}

// placed is the record: for each path the SHA-256 of what may lie there by our
// doing.
type placed map[string][]string

func (p *placer) target() string { return path.Join(p.dir, program) }

// place puts the program there, then the configuration.
func (p *placer) place() error {
	ours, err := p.read()
	if err != nil {
		return err
	}
	if err := p.placeProgram(ours); err != nil {
		return fmt.Errorf("%s: %w", p.target(), err)
	}
	if err := p.placeConfig(); err != nil {
		return fmt.Errorf("%s: %w", p.config, err)
	}
	return nil
}

func (p *placer) placeProgram(ours placed) error {
	want, err := hashFile(p.source)
	if err != nil {
		return err
	}
	file, err := p.root.Resolve(p.target())
	if err != nil {
		return err
	}
	switch have, err := hashFile(file); {
	case err == nil && have == want:
		return nil
	case err == nil && !slices.Contains(ours[p.target()], have):
		p.log.Warn("another program lies there, which Berth did not put there; it is left as it is", "path", p.target())
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Both may lie there until the rename, and after a kill.
	if !slices.Contains(ours[p.target()], want) {
		ours[p.target()] = append(ours[p.target()], want)
		if err := p.write(ours); err != nil {
			return err
		}
	}
	from, err := os.Open(p.source)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := errors.Join(sweep(filepath.Dir(file)), replace(file, from, 0o755)); err != nil {
		return err
	}
	p.log.Info("wrote the credential provider", "path", p.target())
	if len(ours[p.target()]) == 1 {
		return nil
	}
	ours[p.target()] = []string{want}
	return p.write(ours)
}

// placeConfig writes the configuration unless it is somebody's.
func (p *placer) placeConfig() error {
	want := managedfile.File{Path: p.config, Body: p.text, Comment: "#"}.Content()
	have, err := p.root.ReadFile(p.config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(have, want) || bytes.Equal(have, p.text):
		return nil
	case !managedfile.Intact(have):
		p.log.Warn("the configuration is somebody's, or was edited; it is left as it is", "path", p.config,
			"namesProvider", bytes.Contains(have, []byte(program)))
		return nil
	}
	file, err := p.root.Resolve(p.config)
	if err != nil {
		return err
	}
	if err := replace(file, bytes.NewReader(want), 0o644); err != nil {
		return err
	}
	p.log.Info("wrote the configuration of the credential provider", "path", p.config)
	return nil
}

// remove takes away what place has put there: the configuration first, and the
// program only when no configuration there names it any more.
func (p *placer) remove() error {
	have, err := p.root.ReadFile(p.config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", p.config, err)
	case managedfile.Intact(have):
		if err := p.unlink(p.config); err != nil {
			return err
		}
	case bytes.Contains(have, []byte(program)):
		p.log.Warn("the configuration is somebody's and names the provider; both stay", "path", p.config)
		return nil
	}
	ours, err := p.read()
	if err != nil {
		return err
	}
	file, err := p.root.Resolve(p.target())
	if err != nil {
		return err
	}
	switch sum, err := hashFile(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", p.target(), err)
	case !slices.Contains(ours[p.target()], sum):
		p.log.Warn("the program is not the one that Berth put there; it stays", "path", p.target())
	default:
		if err := p.unlink(p.target()); err != nil {
			return err
		}
	}
	delete(ours, p.target())
	return p.write(ours)
}

func (p *placer) unlink(name string) error {
	file, err := p.root.Resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Remove(file), syncDir(filepath.Dir(file))); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.log.Info("removed", "path", name)
	return nil
}

func (p *placer) read() (placed, error) {
	raw, err := p.root.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) {
		return placed{}, nil
	}
	if err != nil {
		return nil, err
	}
	ours := placed{}
	if err := json.Unmarshal(raw, &ours); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it, and what Berth put on the node counts as somebody else's", record, err)
	}
	return ours, nil
}

// write keeps the record, or removes it when there is nothing in it.
func (p *placer) write(ours placed) error {
	file, err := p.root.Resolve(record)
	if err != nil {
		return err
	}
	if len(ours) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", record, err)
		}
		return nil
	}
	raw, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	if err := replace(file, bytes.NewReader(raw), 0o600); err != nil {
		return fmt.Errorf("%s: %w", record, err)
	}
	return nil
}

func hashFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sweep removes what killed runs left in a directory that nobody else of Berth
// writes to.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && managedfile.Temporary(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// replace makes content appear at file whole or not at all.
func replace(file string, content io.Reader, mode fs.FileMode) (err error) {
	dir := filepath.Dir(file)
	random := make([]byte, 8)
	rand.Read(random) // never fails
	temp := filepath.Join(dir, "_berth-tmp-"+hex.EncodeToString(random)+"-file")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	_, err = io.Copy(f, content)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, file); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
