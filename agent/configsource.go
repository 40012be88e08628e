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

// lastGood is what stands there.
type lastGood struct {
	Path  string            `json:"path"`
	Dir   string            `json:"dir,omitempty"` // where relative paths begin
	Text  []byte            `json:"text"`
	Files map[string][]byte `json:"files"`
}

// source reads the config again and again, and remembers the last one that
// could be used, over restarts too.
type source struct {
	machine *reconcile.Node
	path    string // as this process sees it; "": the one of the node

	good *config.Config
	file config.File // of good
	bad  bool        // the last look found nothing that can be used
	last []byte      // the text of the last look, good or not
	kept config.File // what stands in lastGoodName, as far as we know
}

// reading is what came of one look at the config.
type reading struct {
	cfg      *config.Config // nil when there has never been a good one
	warnings []config.Warning
	err      error // why the file cannot be used; cfg is then an older one
	changed  bool  // the text is another than last time
	// renewed says that what is in use since this look is not what the last
	// one left: text or files are others, or they could not be used then.
	renewed bool
}

// read looks at the config and at the files that it names.
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

// sameFile reports whether two configs say the same, with all that they name.
func sameFile(a, b config.File) bool {
	return bytes.Equal(a.Text, b.Text) && maps.EqualFunc(a.Contents, b.Contents, bytes.Equal)
}

// save puts the config aside, for an agent that starts with a bad one. The lock
// of the machine is held.
func (s *source) save() error {
	if s.file.Text == nil || sameFile(s.kept, s.file) && s.machine.HasPrivate(reconcile.LastGoodFile) {
		return nil
	}
	body, err := json.Marshal(lastGood{Path: s.file.Path, Dir: s.file.Dir, Text: s.file.Text, Files: s.file.Contents})
	if err != nil {
		return err
	}
	if err := s.machine.Store.WritePrivate(reconcile.LastGoodFile, body); err != nil {
		return fmt.Errorf("keep the config for a restart: %w", err)
	}
	s.kept = s.file
	return nil
}

// load takes the config that an earlier agent has kept.
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
		return // of another version
	}
	s.good, s.file, s.kept = cfg, file, file
}
