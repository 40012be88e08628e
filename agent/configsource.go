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

// savedConfig is the content of the file reconcile.LastGoodFile.
type savedConfig struct {
	Path  string            `json:"path"`
	Dir   string            `json:"dir,omitempty"` // base of relative paths
	Text  []byte            `json:"text"`
	Files map[string][]byte `json:"files"`
	// Variables are the values of ${NAME} in Text.
	Variables map[string]string `json:"variables,omitempty"`
}

// configSource reads the config on each pass and keeps the last usable one, in a file too, for an
// agent that starts with a bad config.
type configSource struct {
	node *reconcile.Node
	path string // as this process sees it; "" is the node's own config

	current     *config.Config
	currentFile config.File // of current
	currentHash string      // of currentFile; "" if current is nil
	lastFailed  bool        // the last read found no usable config
	lastText    []byte      // text of the last read, usable or not
	saved       config.File // what this agent wrote to or read from LastGoodFile
}

// configReading is the result of one read of the config.
type configReading struct {
	cfg      *config.Config // nil if there was never a usable config
	warnings []config.Warning
	hash     string // of cfg
	err      error  // why the file cannot be used; cfg is then an older config
	changed  bool   // the text differs from the last read
	// renewed is true if the config in use differs from the one after the last read: text or
	// named files changed, or the last read found no usable config.
	renewed bool
}

// read reads the config and the files that it names.
func (s *configSource) read() configReading {
	file, err := config.ReadOnNode(s.node.Root, s.path)
	var r configReading
	if err == nil {
		r.cfg, r.warnings, err = file.Parse()
	}
	r.changed = !bytes.Equal(file.Text, s.lastText)
	s.lastText = file.Text
	if err == nil {
		r.renewed = s.current == nil || s.lastFailed || !sameFile(s.currentFile, file)
		s.use(r.cfg, file)
		s.lastFailed, r.hash = false, s.currentHash
		return r
	}
	s.lastFailed = true
	if s.current == nil {
		s.load()
	}
	return configReading{cfg: s.current, hash: s.currentHash, err: err, changed: r.changed}
}

// use makes a config the current one.
func (s *configSource) use(cfg *config.Config, file config.File) {
	if s.current == nil || !bytes.Equal(s.currentFile.Text, file.Text) {
		s.currentHash = file.Hash()
	}
	s.current, s.currentFile = cfg, file
}

// sameFile reports whether two configs have the same text, contents of named files and variables.
func sameFile(a, b config.File) bool {
	return bytes.Equal(a.Text, b.Text) && maps.EqualFunc(a.Contents, b.Contents, bytes.Equal) &&
		maps.Equal(a.Variables, b.Variables)
}

// save writes the config to reconcile.LastGoodFile, for an agent that starts with a bad one.
// The caller holds the node's lock.
func (s *configSource) save() error {
	if s.currentFile.Text == nil || sameFile(s.saved, s.currentFile) && s.node.HasPrivate(reconcile.LastGoodFile) {
		return nil
	}
	body, err := json.Marshal(savedConfig{Path: s.currentFile.Path, Dir: s.currentFile.Dir, Text: s.currentFile.Text, Files: s.currentFile.Contents,
		Variables: s.currentFile.Variables})
	if err != nil {
		return err
	}
	if err := s.node.Store.WritePrivate(reconcile.LastGoodFile, body); err != nil {
		return fmt.Errorf("save the config for the next start: %w", err)
	}
	s.saved = s.currentFile
	return nil
}

// load reads the config that an earlier agent saved. A file that this version cannot parse
// counts as missing.
func (s *configSource) load() {
	var l savedConfig
	if err := s.node.ReadPrivate(reconcile.LastGoodFile, &l); err != nil || l.Text == nil {
		return
	}
	file := config.File{Path: path.Join(reconcile.StateDir, reconcile.LastGoodFile), Dir: l.Dir, Text: l.Text, Contents: l.Files, Variables: l.Variables}
	if file.Contents == nil {
		file.Contents = map[string][]byte{}
	}
	cfg, _, err := file.Parse()
	if err != nil {
		return // saved by another version
	}
	s.use(cfg, file)
	s.saved = file
}
