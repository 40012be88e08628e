package containerdconf

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// DefaultCertsDir is the directory to set if none is configured.
const DefaultCertsDir = "/etc/containerd/certs.d"

// Options are the options of [Wire].
type Options struct {
	// Dir is the directory from which hosts.toml files must be read. Empty keeps the configured
	// one, or uses Default if there is none.
	Dir string
	// Default is used if no directory is configured; empty means [DefaultCertsDir].
	Default string
	// DropMirrors removes the deprecated settings beside which containerd refuses a
	// config_path: registry.mirrors, and in 1.x registry.configs.….tls. Without it such a
	// setting is an error.
	DropMirrors bool
}

// Wiring is a change that makes containerd honour hosts.toml files.
type Wiring struct {
	// CertsDir is the directory from which they will be read.
	CertsDir string
	// Files must all be written before containerd is restarted. The list is empty if nothing
	// has to change.
	Files []FileChange
	// After is the configuration with these files, and Verdict its assessment.
	After   Config
	Verdict Assessment
}

// FileChange is one changed file.
type FileChange struct {
	Path string
	// Before is the old content; nil if the file does not exist.
	Before []byte
	After  []byte
	// DropIn says that it is a new file of Berth's in a directory that containerd imports.
	DropIn bool
}

// RefusedError is the reason why a configuration is not changed.
type RefusedError struct{ Issue Issue }

// Error returns the location, the fault and the remedy.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Issue.Where, e.Issue.Detail, e.Issue.Remedy)
}

// ErrUnsupported means that changing a single key is not enough.
var ErrUnsupported = errors.New("set config_path by hand: no change of one key makes containerd honour it")

// ErrDir means that config_path cannot hold the directory.
var ErrDir = errors.New("must be an absolute path without a colon")

// Wire finds the smallest change after which the release honours hosts.toml files. If it already
// does, and Options.Dir asks for no other directory, the result has no Files. The zero Release
// stands for an unknown one: the change must then be right for every release that can read these
// files. Wire writes nothing.
//
// The errors are [*RefusedError], if an operator must fix the configuration first, [ErrDir] and
// [ErrUnsupported].
func Wire(c Config, r Release, o Options) (Wiring, error) {
	before := Assess(c, r)
	if before.Honoured && (o.Dir == "" || path.Clean(o.Dir) == before.CertsDir) {
		return Wiring{CertsDir: before.CertsDir, After: c, Verdict: before}, nil
	}
	if o.Dir != "" && (!path.IsAbs(o.Dir) || strings.Contains(o.Dir, ":")) {
		return Wiring{}, fmt.Errorf("%q: %w", o.Dir, ErrDir)
	}
	w := wirer{original: c, r: r, dir: o.Dir}
	start := c
	if o.DropMirrors {
		var err error
		if start, err = w.withoutMirrors(c); err != nil {
			return Wiring{}, err
		}
	}
	verdict := Assess(start, r)
	for _, t := range verdict.Issues {
		if t.Blocking && !fixable(t.ID) {
			return Wiring{}, &RefusedError{t}
		}
	}
	w.start = start
	w.chooseDir(verdict, o)
	if done := w.result(start); done != nil {
		return *done, nil
	}
	for _, try := range []func() *Wiring{w.newFile, w.dropIn, w.inPlace} {
		if done := try(); done != nil {
			return *done, nil
		}
	}
	return Wiring{}, unsupported(c, r)
}

// fixable reports whether setting config_path resolves an issue.
func fixable(id IssueID) bool {
	switch id {
	case IssueUnset, IssueList, IssueType, IssueWrongTable, IssueImportReplaces:
		return true
	}
	return false
}

type wirer struct {
	original, start Config
	r               Release
	dir             string
}

// chooseDir keeps the given or configured directory; the first one of several.
func (w *wirer) chooseDir(v Assessment, o Options) {
	first, _, _ := strings.Cut(v.ConfigPath, ":")
	switch {
	case w.dir != "":
	case path.IsAbs(first) && !v.Default:
		w.dir = first
	case o.Default != "":
		w.dir = o.Default
	default:
		w.dir = DefaultCertsDir
	}
	w.dir = path.Clean(w.dir)
}

// newFile writes the node's first config.toml.
func (w *wirer) newFile() *Wiring {
	if !w.start.Missing {
		return nil
	}
	version := w.r.NewestVersion()
	if w.r.IsZero() {
		version = 2 // all releases read it
	}
	return w.result(w.start.with(w.start.Path, fragment(version, Tables(version)[0], w.dir), w.r))
}

// dropIn adds a file to an imported directory, for releases that merge files.
func (w *wirer) dropIn() *Wiring {
	if !w.r.AtLeast(2, 0, 0) || w.start.Missing {
		return nil
	}
	version := w.start.Files[0].Version
	for _, f := range w.start.Files {
		for _, pattern := range f.imports {
			dir := path.Dir(pattern)
			if !strings.Contains(pattern, "*") || strings.ContainsAny(dir, `*?[\`) {
				continue
			}
			// The second name is for a directory with files that sort after the first one.
			for _, name := range []string{"99-berth.toml", "zz-berth.toml"} {
				file := path.Join(dir, name)
				if ok, _ := path.Match(pattern, file); !ok {
					continue
				}
				for _, table := range Tables(version) {
					if done := w.result(w.start.with(file, fragment(version, table, w.dir), w.r)); done != nil {
						return done
					}
				}
			}
		}
	}
	return nil
}

// fragment returns a config.toml that sets the one key. Version 0 writes no version line, as in a
// main file without one.
func fragment(version int, table, dir string) []byte {
	doc, err := tomldoc.Parse(nil)
	if err == nil && version > 0 {
		doc, err = set(doc, int64(version), "version")
	}
	if err == nil {
		doc, err = set(doc, dir, "plugins", table, "registry", "config_path")
	}
	if err != nil {
		return nil // cannot happen: an empty document accepts every key
	}
	return doc.Bytes()
}

func set(doc *tomldoc.Document, value any, path ...string) (*tomldoc.Document, error) {
	data, err := doc.Set(value, path...)
	if err != nil {
		return nil, err
	}
	return tomldoc.Parse(data)
}

// inPlace changes the file that takes effect: the last one with the key, else the last one with the
// plugin's table, else the main file.
func (w *wirer) inPlace() *Wiring {
	if w.start.Missing {
		return nil
	}
	if done := w.versioned(); done != nil {
		return done
	}
	// The key may be set where it has no effect, so the release is assessed again after the change.
	for _, inner := range [][]string{{"registry", "config_path"}, nil} {
		for _, f := range slices.Backward(w.start.Files) {
			for _, table := range Tables(f.Version) {
				if f.Doc.Field(append([]string{"plugins", table}, inner...)...) == nil {
					continue
				}
				if done := w.setIn(f, table); done != nil {
					return done
				}
			}
		}
	}
	for _, table := range Tables(w.start.Files[0].Version) {
		if done := w.setIn(w.start.Files[0], table); done != nil {
			return done
		}
	}
	return nil
}

// versioned adds a version line to a main file in which nothing depends on it. Without the line,
// 1.x reads the file as version 1, whose settings 2.0 to 2.2 drop.
func (w *wirer) versioned() *Wiring {
	f := w.start.Files[0]
	for _, key := range []string{"version", "plugins", "disabled_plugins", "required_plugins", "imports"} {
		if f.Doc.Field(key) != nil {
			return nil
		}
	}
	version := 2
	if w.r.AtLeast(2, 0, 0) {
		version = 3 // from 4 on, tables such as [grpc] have no effect
	}
	doc, err := set(f.Doc, int64(version), "version")
	if err != nil {
		return nil
	}
	f.Doc = doc
	return w.setIn(f, Tables(version)[0])
}

func (w *wirer) setIn(f File, table string) *Wiring {
	data, err := f.Doc.Set(w.dir, "plugins", table, "registry", "config_path")
	if err != nil {
		return nil
	}
	return w.result(w.start.with(f.Path, data, w.r))
}

// result returns a changed configuration if it meets the goal: containerd honours this directory,
// and no other plugin setting differs.
func (w *wirer) result(after Config) *Wiring {
	v := Assess(after, w.r)
	if !v.Honoured || v.CertsDir != w.dir || strings.Contains(v.ConfigPath, ":") {
		return nil
	}
	for _, r := range w.releases() {
		if !w.start.Missing && !reflect.DeepEqual(others(w.start, r), others(after, r)) {
			return nil
		}
	}
	done := &Wiring{CertsDir: v.CertsDir, After: after, Verdict: v}
	for _, f := range after.Files {
		change := FileChange{Path: f.Path, After: f.Doc.Bytes()}
		change.DropIn = f.ImportedBy != ""
		for _, g := range w.original.Files {
			if g.Path == f.Path {
				change.Before, change.DropIn = g.Doc.Bytes(), false
			}
		}
		if change.Before == nil || !bytes.Equal(change.Before, change.After) {
			done.Files = append(done.Files, change)
		}
	}
	return done
}

// releases lists the releases for which a change must be right.
func (w *wirer) releases() []Release {
	if !w.r.IsZero() {
		return []Release{w.r}
	}
	return slices.DeleteFunc(known(), func(r Release) bool { return w.original.newestVersion() > r.NewestVersion() })
}

// others returns the plugin tables as a release reads them, without config_path.
func others(c Config, r Release) map[string]any {
	if r.IsZero() || c.Missing {
		return nil
	}
	plugins := clone(c.merge(r).plugins)
	for _, table := range []string{TableV1, TableV2, TableV3} {
		settings, _ := plugins[table].(map[string]any)
		registry, _ := settings["registry"].(map[string]any)
		delete(registry, "config_path")
		if len(registry) == 0 {
			delete(settings, "registry")
		}
		if len(settings) == 0 {
			delete(plugins, table)
		}
	}
	return plugins
}

// withoutMirrors removes the settings that conflict with a config_path.
func (w *wirer) withoutMirrors(c Config) (Config, error) {
	for _, f := range c.Files {
		if f.Doc == nil {
			continue
		}
		doc := f.Doc
		for _, table := range []string{TableV1, TableV2, TableV3} {
			gone := [][]string{{"plugins", table, "registry", "mirrors"}}
			if configs := doc.Field("plugins", table, "registry", "configs"); configs != nil && !w.r.AtLeast(2, 0, 0) {
				for _, host := range configs.Value.Fields {
					gone = append(gone, []string{"plugins", table, "registry", "configs", host.Name, "tls"})
				}
			}
			for _, path := range gone {
				data, err := doc.Remove(path...)
				if err != nil {
					return c, fmt.Errorf("%s: %w", f.place(path...), err)
				}
				if doc, err = tomldoc.Parse(data); err != nil {
					return c, fmt.Errorf("%s: %w", f.Path, err)
				}
			}
		}
		if data := doc.Bytes(); !bytes.Equal(data, f.Doc.Bytes()) {
			c = c.with(f.Path, data, w.r)
		}
	}
	return c, nil
}
