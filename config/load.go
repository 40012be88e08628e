// Package config reads a RegistryConfig: the one file in which an operator
// says where images are pulled from and with which credentials.
//
// Reading is strict. What the package does not know is an error, all errors are
// reported at once, and each names its file, line, column and field and says
// what to write instead. A Config that comes out is complete: defaults filled
// in, names in their normal form, and the content of every file that it names
// in place. No error, warning or printed Config shows a secret.
//
// The package writes nothing and opens no connection. Start reading at [Load];
// the types are in types.go, the rules in the files check*.go.
package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// Load reads the RegistryConfig at path and the files that it names. Relative
// paths in it begin at its directory. The error is an [Errors]; errors.Is(err,
// fs.ErrNotExist) holds when the file, or one that it names, does not exist.
func Load(path string) (*Config, []Warning, error) {
	f, err := Read(path)
	if err != nil {
		return nil, nil, err
	}
	return f.Parse()
}

// File is a RegistryConfig as it was written.
type File struct {
	Path string
	// Dir is where relative paths in Text begin; "" is the directory of Path.
	Dir  string
	Text []byte
	// Contents holds the files that Text names, by the name that stands there.
	// [File.Parse] fills it in, or, if it is not nil, takes them from it and
	// reads none: so a config can be kept whole. They may be secrets.
	Contents map[string][]byte

	mode fs.FileMode
}

// Read is the first half of [Load], for who wants to keep the text.
func Read(path string) (File, error) { return ReadAs(path, path) }

// ReadAs is [Read] of a file that people know by another name, as the one that
// links below another root lead to. File.Path and errors have name.
func ReadAs(path, name string) (File, error) {
	data, mode, err := readFile(path, maxConfigSize)
	if err != nil {
		message := err.Error()
		if tooLarge := (*sizeError)(nil); errors.As(err, &tooLarge) {
			message = isTooLarge
		}
		return File{}, Errors{{File: name, Message: message, Err: err}}
	}
	return File{Path: name, Text: data, mode: mode}, nil
}

// Parse is the second half of [Load].
func (f *File) Parse() (*Config, []Warning, error) {
	if f.Dir == "" {
		f.Dir = filepath.Dir(f.Path)
	}
	files := files{dir: f.Dir, contents: f.Contents, kept: f.Contents != nil}
	if !files.kept {
		files.contents = map[string][]byte{}
	}
	cfg, warnings, err := parse(f.Path, f.Text, f.mode, files)
	f.Contents = files.contents
	return cfg, warnings, err
}

// Parse is [Load] for a document that is in memory; name stands for its path
// in errors and warnings.
func Parse(name string, data []byte) (*Config, []Warning, error) {
	f := File{Path: name, Text: data}
	return f.Parse()
}

// Default gives the RegistryConfig that says nothing: apiVersion and kind
// alone, with every default.
func Default() *Config {
	cfg := &Config{APIVersion: APIVersion, Kind: Kind}
	setDefaults(reflect.ValueOf(cfg).Elem())
	cfg.ECR.Credentials = defaultCredentials()
	return cfg
}

// Files lists the files that c names, each once and sorted: a change of one of
// them changes what c means. The shared credentials file is among them.
func (c *Config) Files() []string {
	files := []string{c.DockerConfigFile}
	for _, r := range c.Registries {
		files = append(files, r.PasswordFile, r.TLS.CAFile, r.TLS.CertFile, r.TLS.KeyFile)
	}
	credentials := slices.Clone(c.ECR.Credentials)
	for _, r := range c.Registries {
		if r.ECR != nil {
			credentials = append(credentials, r.ECR.Credentials...)
		}
	}
	for _, e := range credentials {
		if k := e.Static; k != nil {
			files = append(files, k.AccessKeyIDFile, k.SecretAccessKeyFile, k.SessionTokenFile, k.SharedCredentialsFile)
		}
	}
	slices.Sort(files)
	files = slices.Compact(files)
	return slices.DeleteFunc(files, func(name string) bool { return name == "" })
}

func parse(name string, data []byte, mode fs.FileMode, files files) (*Config, []Warning, error) {
	r := &report{file: name}
	document, syntax := parseDocument(data)
	if syntax != nil {
		r.add(syntax)
		return nil, nil, r.result()
	}
	cfg := &Config{}
	root := &location{node: document}
	if document.Kind != yaml.MappingNode {
		r.add(&Error{Line: document.Line, Column: document.Column,
			Message: "must be a mapping; begin with apiVersion: " + APIVersion + " and kind: " + Kind})
		return nil, nil, r.result()
	}
	d := newDecoder(r)
	setDefaults(reflect.ValueOf(cfg).Elem())
	d.decode(root, reflect.ValueOf(cfg).Elem(), document)
	if !d.stopped() {
		c := &checker{report: r, broken: d.broken, cfg: cfg, mode: mode, files: files}
		c.check(root)
	}
	if err := r.result(); err != nil {
		return nil, r.sortedWarnings(), err
	}
	return cfg, r.sortedWarnings(), nil
}
