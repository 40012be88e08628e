package agent

import (
	"bytes"
	"fmt"
	"path"

	"github.com/berth-registry/berth/agent/config"
)

// lastGoodName is the file that holds the last config that could be used. It
// may hold secrets, as the config itself.
const lastGoodName = "last-good.yaml"

// source reads the config again and again, and remembers the last one that
// could be used, over restarts too.
type source struct {
	machine *Machine
	path    string // as this process sees it

	good *config.Config
	text []byte // of good; nil when there is none
	last []byte // the text of the last look, good or not
	kept []byte // what stands in lastGoodName, as far as we know
}

// reading is what came of one look at the config.
type reading struct {
	cfg      *config.Config // nil when there has never been a good one
	warnings []config.Warning
	err      error // why the file cannot be used; cfg is then an older one
	changed  bool  // the text is another than last time
}

// read looks at the config. The files that it names are read as well.
func (s *source) read() reading {
	cfg, warnings, text, err := load(s.path)
	changed := !bytes.Equal(text, s.last)
	s.last = text
	if err == nil {
		s.good, s.text = cfg, text
		return reading{cfg: cfg, warnings: warnings, changed: changed}
	}
	if s.good == nil {
		s.recall()
	}
	return reading{cfg: s.good, err: err, changed: changed}
}

func load(path string) (*config.Config, []config.Warning, []byte, error) {
	f, err := config.Read(path)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, warnings, err := f.Parse()
	return cfg, warnings, f.Text, err
}

// keep puts the text aside, for an agent that starts with a bad config. The
// lock of the machine is held.
func (s *source) keep() error {
	if s.text == nil || bytes.Equal(s.kept, s.text) {
		return nil
	}
	if err := s.machine.store.WritePrivate(lastGoodName, s.text); err != nil {
		return fmt.Errorf("keep the config for a restart: %w", err)
	}
	s.kept = s.text
	return nil
}

// recall takes the config that an earlier agent has kept. It counts only if
// everything that it names can still be read.
func (s *source) recall() {
	name := path.Join(StateDir, lastGoodName)
	text, err := s.machine.root.ReadFile(name)
	if err != nil {
		return
	}
	cfg, _, err := config.Parse(name, text)
	if err != nil {
		return
	}
	s.good, s.text, s.kept = cfg, text, text
}
