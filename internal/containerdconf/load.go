package containerdconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// Reader reads the files of a node. Paths are absolute and slash-separated, as on the node.
type Reader interface {
	// ReadFile reads a file; a missing one is [fs.ErrNotExist].
	ReadFile(path string) ([]byte, error)
	// Glob lists the matches of a path.Match pattern, in order. Directories that are missing or
	// unreadable match nothing.
	Glob(pattern string) ([]string, error)
}

// Config is containerd's configuration: the main file and its imports.
type Config struct {
	// Path is that of the main file.
	Path string
	// Files are all files that containerd reads, in its order: the main file, its imports,
	// their imports. A later file wins.
	Files []File
	// Missing says that there is no main file. containerd then runs with its defaults and
	// imports nothing.
	Missing bool

	seen seen
}

// File is one file of a configuration.
type File struct {
	Path string
	// Doc is nil if the file cannot be read or is not TOML; Err says why. containerd does not
	// start with such a file, imported or not.
	Doc *tomldoc.Document
	Err error
	// Version is the number after "version =", 0 without that line.
	Version int
	// ImportedBy is the file that imports this one; "" for the main file.
	ImportedBy string

	imports []string // patterns and paths, absolute
}

// ErrImports is the error of a file whose imports exceed the limit.
var ErrImports = fmt.Errorf("imports lead to more than %d files", maxFiles)

const maxFiles = 256

// errVersion is the error of a file whose version is not a number.
var errVersion = errors.New(`"version" is not a number; write version = 2, without quotes`)

// Load reads the configuration whose main file is at path, in the way the release finds its files.
// It never fails: read errors are in Files.
func Load(main string, release Release, from Reader) Config {
	s := &seen{from: from, files: map[string]content{}, globs: map[string][]string{}}
	return load(main, release, s)
}

func load(main string, release Release, s *seen) Config {
	c := Config{Path: main}
	type pending struct{ path, by string }
	queue := []pending{{main, ""}}
	loaded := map[string]bool{}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if loaded[next.path] {
			continue // as in containerd: files may import each other
		}
		loaded[next.path] = true
		f := read(next.path, s)
		f.ImportedBy = next.by
		if len(c.Files) == maxFiles {
			f = File{Path: next.path, ImportedBy: next.by, Err: ErrImports}
			queue = nil
		}
		if next.by == "" && errors.Is(f.Err, fs.ErrNotExist) {
			c.Missing = true
			break
		}
		for _, name := range importsOf(f) {
			pattern, paths, err := s.resolve(f.Path, name, release)
			if err != nil {
				f.Err = fmt.Errorf("imports: a pattern is malformed: %w", err)
			}
			f.imports = append(f.imports, pattern)
			for _, p := range paths {
				queue = append(queue, pending{p, f.Path})
			}
		}
		c.Files = append(c.Files, f)
	}
	c.seen = *s
	return c
}

func read(name string, s *seen) File {
	f := File{Path: name}
	data, err := s.read(name)
	if err == nil {
		f.Doc, err = tomldoc.Parse(data)
	}
	if f.Err = err; err != nil {
		return f
	}
	switch version := f.Doc.Values()["version"].(type) {
	case nil:
	case int64:
		f.Version = int(version)
	default:
		f.Err = errVersion
	}
	return f
}

func importsOf(f File) []string {
	if f.Doc == nil {
		return nil
	}
	list, _ := f.Doc.Values()["imports"].([]any)
	var names []string
	for _, item := range list {
		if name, ok := item.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// resolve finds the files that an entry of imports names. Only "*" makes it a pattern. Before
// 1.6.30 and 1.7.16 containerd resolved a relative pattern in its working directory, which is /
// under systemd.
func (s *seen) resolve(parent, name string, release Release) (pattern string, paths []string, err error) {
	name = path.Clean(name)
	glob := strings.Contains(name, "*")
	if !path.IsAbs(name) {
		base := path.Dir(parent)
		fixed := release.IsZero() || release.AtLeast(1, 7, 16) ||
			release.Major == 1 && release.Minor == 6 && release.AtLeast(1, 6, 30)
		if glob && !fixed {
			base = "/"
		}
		name = path.Join(base, name)
	}
	if !glob {
		return name, []string{name}, nil
	}
	paths, err = s.glob(name)
	return name, paths, err
}

// seen caches the files that were read, so that a change can be tried without touching the node.
type seen struct {
	from  Reader
	files map[string]content
	globs map[string][]string
}

type content struct {
	data []byte
	err  error
}

func (s *seen) read(name string) ([]byte, error) {
	c, ok := s.files[name]
	if !ok {
		c.data, c.err = s.from.ReadFile(name)
		s.files[name] = c
	}
	return c.data, c.err
}

func (s *seen) glob(pattern string) ([]string, error) {
	if paths, ok := s.globs[pattern]; ok {
		return paths, nil
	}
	paths, err := s.from.Glob(pattern)
	if err == nil {
		s.globs[pattern] = paths
	}
	return paths, err
}

// with returns the configuration as it would be with one file changed or added.
func (c Config) with(name string, data []byte, release Release) Config {
	s := &seen{from: c.seen.from, files: maps.Clone(c.seen.files), globs: maps.Clone(c.seen.globs)}
	s.files[name] = content{data: data}
	for pattern, paths := range s.globs {
		if ok, _ := path.Match(pattern, name); ok && !slices.Contains(paths, name) {
			paths = append(slices.Clone(paths), name)
			slices.Sort(paths)
			s.globs[pattern] = paths
		}
	}
	return load(c.Path, release, s)
}
