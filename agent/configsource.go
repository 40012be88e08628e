package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
)

// lastGood is the content of the file reconcile.LastGoodFile.
type lastGood struct {
	Path  string            `json:"path"`
	Dir   string            `json:"dir,omitempty"` // base of relative paths
	Text  []byte            `json:"text"`
	Files map[string][]byte `json:"files"`
}

// source reads the config on each pass and keeps the last usable one, in a file too, for an
// agent that starts with a bad config.
type source struct {
	machine *reconcile.Node
	path    string // as this process sees it; "" is the node's own config

	good *config.Config
	file config.File // of good
	bad  bool        // the last read found no usable config
	last []byte      // text of the last read, usable or not
	kept config.File // what this agent wrote to or read from LastGoodFile
}

// reading is the result of one read of the config.
type reading struct {
	cfg      *config.Config // nil if there was never a usable config
	warnings []config.Warning
	err      error // why the file cannot be used; cfg is then an older config
	changed  bool  // the text differs from the last read
	// renewed is true if the config in use differs from the one after the last read: text or
	// named files changed, or the last read found no usable config.
	renewed bool
}

// read reads the config and the files that it names.
func (s *source) read() reading {
	file, err := s.machine.ReadConfig(s.path)
	var r reading
	if err == nil {
		r.cfg, r.warnings, err = file.Parse()
	}
	r.changed = !bytes.Equal(file.Text, s.last)
	s.last = file.Text
	if err == nil {
		r.renewed = s.good == nil || s.bad || !sameFile(s.file, file)
		s.good, s.file, s.bad = r.cfg, file, false
		return r
	}
	s.bad = true
	if s.good == nil {
		s.load()
	}
	return reading{cfg: s.good, err: err, changed: r.changed}
}

// sameFile reports whether two configs have the same text and the same contents of named files.
func sameFile(a, b config.File) bool {
	return bytes.Equal(a.Text, b.Text) && maps.EqualFunc(a.Contents, b.Contents, bytes.Equal)
}

// save writes the config to reconcile.LastGoodFile, for an agent that starts with a bad one.
// The caller holds the node's lock.
func (s *source) save() error {
	if s.file.Text == nil || sameFile(s.kept, s.file) && s.machine.HasPrivate(reconcile.LastGoodFile) {
		return nil
	}
	body, err := json.Marshal(lastGood{Path: s.file.Path, Dir: s.file.Dir, Text: s.file.Text, Files: s.file.Contents})
	if err != nil {
		return err
	}
	if err := s.machine.Store.WritePrivate(reconcile.LastGoodFile, body); err != nil {
		return fmt.Errorf("save the config for the next start: %w", err)
	}
	s.kept = s.file
	return nil
}

// load reads the config that an earlier agent saved. A file that this version cannot parse
// counts as missing.
func (s *source) load() {
	var l lastGood
	if err := s.machine.ReadPrivate(reconcile.LastGoodFile, &l); err != nil || l.Text == nil {
		return
	}
	file := config.File{Path: path.Join(reconcile.StateDir, reconcile.LastGoodFile), Dir: l.Dir, Text: l.Text, Contents: l.Files}
	if file.Contents == nil {
		file.Contents = map[string][]byte{}
	}
	cfg, _, err := file.Parse()
	if err != nil {
		return // saved by another version
	}
	s.good, s.file, s.kept = cfg, file, file
}
