// Package nodeconfig compares the corpus of containerd configurations (node, testdata/config) with
// real daemons: each release must behave as the golden files say, before and after the change.
//
// A daemon runs each configuration as it is, in its own mount, process and network namespaces. In
// them /etc, /var, /run, /srv and /opt have only the files of the corpus, and every port is free.
// Start reading at nodeconfig_test.go.
package nodeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// trial is one configuration for one release, and the expected behaviour.
type trial struct {
	name  string
	main  string            // path of config.toml on the node
	files map[string][]byte // by their paths on the node
	want  verdict
	// restarts says that a daemon that ended is started again, as systemd does.
	restarts bool
}

// verdict is the content of the golden file.
type verdict struct {
	honoured  bool
	certsDir  string
	localPull bool
	traps     []string // in the way
	// replaced are other files of the shape that 1.x takes only one of.
	notes []string
}

// readCorpus returns the trials of a release: each shape as it is, and with each change that makes
// containerd use hosts.toml files.
func readCorpus(dir, release string) ([]trial, error) {
	shapes, err := filepath.Glob(filepath.Join(dir, "*", "want.txt"))
	if err != nil {
		return nil, err
	}
	var all []trial
	for _, want := range shapes {
		trials, err := readShape(filepath.Dir(want), release)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Dir(want), err)
		}
		all = append(all, trials...)
	}
	return all, nil
}

var change = regexp.MustCompile(`^  (wire|without mirrors): (/\S+?)(?:, a drop-in,)? is (want\S+)$`)

func readShape(dir, release string) ([]trial, error) {
	base := filepath.Base(dir)
	before := trial{name: base + "/before", files: map[string][]byte{}}
	source, err := os.ReadFile(filepath.Join(dir, "source.txt"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(source)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "path":
			before.main = value
			data, err := os.ReadFile(filepath.Join(dir, "config.toml"))
			if err == nil {
				before.files[value] = data
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		case "file":
			name, on, _ := strings.Cut(value, " ")
			if before.files[on], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
	}
	lines, err := chapter(filepath.Join(dir, "want.txt"), release)
	if err != nil {
		return nil, err
	}
	all := []*trial{&before}
	after := map[string]*trial{}
	var current *verdict
	for _, line := range lines {
		m := change.FindStringSubmatch(line)
		switch {
		case m != nil:
			t := after[m[1]]
			if t == nil {
				t = &trial{name: base + "/" + strings.ReplaceAll(m[1], " ", "-"), main: before.main, files: map[string][]byte{}}
				for name, data := range before.files {
					t.files[name] = data
				}
				after[m[1]] = t
				all = append(all, t)
			}
			if t.files[m[2]], err = os.ReadFile(filepath.Join(dir, m[3])); err != nil {
				return nil, err
			}
		case strings.HasPrefix(line, "  before: "):
			current = &before.want
			current.read(line)
		case strings.Contains(line, ", after: "):
			current = &after[strings.TrimSpace(line[:strings.Index(line, ", after: ")])].want
			current.read(line)
		case strings.HasPrefix(line, "    trap "):
			current.traps = append(current.traps, strings.Fields(line)[1])
		case strings.HasPrefix(line, "    note "):
			current.notes = append(current.notes, strings.Fields(line)[1])
		}
	}
	var out []trial
	for _, t := range all {
		out = append(out, *t)
	}
	return out, nil
}

func (v *verdict) read(line string) {
	_, line, _ = strings.Cut(line, ": ")
	words := strings.Split(line, ", ")
	v.honoured = words[0] == "honoured"
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "/") {
			v.certsDir = w
		}
		v.localPull = v.localPull || strings.HasPrefix(w, "local pull")
	}
}

// chapter returns the lines of a golden file for a release.
func chapter(file, release string) ([]string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines []string
	mine := false
	for line := range strings.Lines(string(bytes.TrimSpace(raw))) {
		line = strings.TrimRight(line, "\n")
		if releases, ok := strings.CutPrefix(line, "containerd "); ok {
			mine = slices.Contains(strings.Split(releases, ", "), release)
			continue
		}
		if mine {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s says nothing of containerd %s", file, release)
	}
	return lines, nil
}
