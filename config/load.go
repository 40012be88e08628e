// Package config reads a RegistryConfig: the one file in which an operator says where images are
// pulled from and with which credentials.
//
// Promises: reading is strict. An unknown name is an error. All errors are reported at once, and
// each names its file, line, column and field and says what to write instead. A returned Config is
// complete: defaults are filled in, names are normalized, and the content of every file that it
// names is loaded. No error, warning or printed Config shows a secret. The package writes nothing
// and opens no connection.
//
// Start reading at [File.Parse], which [ReadOnNode] prepares for the file of a node; the types are in
// types.go, the rules in check*.go.
package config

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/plainfile"
)

// Load reads the RegistryConfig at path and the files that it names. Relative paths start at the
// directory of path. The error is an [Errors]; it wraps [fs.ErrNotExist] if the config, or a file
// that it names, does not exist.
func Load(path string) (*Config, []Warning, error) {
	f, err := Read(path)
	if err != nil {
		return nil, nil, err
	}
	return f.Parse()
}

// The mistakes of a RegistryConfig have their places.
type (
	// Error is one mistake.
	Error = syntax.Error
	// Errors are all mistakes of a file.
	Errors = syntax.Errors
	// Warning is about a setting that is not an error.
	Warning = syntax.Warning
)

// File is a RegistryConfig as it was written.
type File struct {
	Path string
	// Dir is the directory at which relative paths in Text start; "" means that of Path.
	Dir  string
	Text []byte
	// Contents holds the files that Text names, by the name in Text. If it is nil,
	// [File.Parse] reads the files and stores them here; otherwise it uses these and reads no
	// file, so a config can be kept with its files. They may be secrets.
	Contents map[string][]byte
	// Variables holds the values of ${NAME} in Text, by name. Like Contents it is filled by
	// [File.Parse], from the environment; with Contents it replaces the environment.
	Variables map[string]string

	mode fs.FileMode
}

// Read is the first half of [Load], for callers that keep the text.
func Read(path string) (File, error) { return ReadAs(path, path) }

// ReadAs is [Read] of the file at path, but File.Path and errors show name. It serves files that
// the operator knows by another path, such as one below another root directory.
func ReadAs(path, name string) (File, error) {
	data, mode, err := readFile(path, syntax.MaxSize)
	if err != nil {
		message := err.Error()
		if tooLarge := (*sizeError)(nil); errors.As(err, &tooLarge) {
			message = syntax.TooLarge
		}
		return File{}, Errors{{File: name, Message: message, Err: err}}
	}
	return File{Path: name, Text: data, mode: mode}, nil
}

// DefaultPath is the place of a node's RegistryConfig.
const DefaultPath = "/etc/berth/config.yaml"

// ReadOnNode reads the config at path, as this process sees it, or, if path is "", the one at
// [DefaultPath] below the root: symlinks there are resolved as on the node, so that none leads
// out of the root. The error is a [Errors].
func ReadOnNode(root *nodefs.Root, path string) (File, error) {
	if path != "" {
		return Read(path)
	}
	name := root.Path(DefaultPath)
	target, err := root.Resolve(DefaultPath)
	if err != nil {
		return File{}, Errors{{File: name, Message: plainfile.WithoutPath(err).Error(), Err: err}}
	}
	file, err := ReadAs(target, name)
	var errs Errors
	if target != name && errors.As(err, &errs) {
		errs[0].Message = "leads to " + target + ": " + errs[0].Message
	}
	return file, err
}

// ReadFrom is [Read] of r; errors show name, and relative paths start at the working directory.
func ReadFrom(r io.Reader, name string) (File, error) {
	data, err := io.ReadAll(io.LimitReader(r, syntax.MaxSize+1))
	if err == nil && len(data) > syntax.MaxSize {
		err = errors.New(syntax.TooLarge)
	}
	if err != nil {
		return File{}, Errors{{File: name, Message: err.Error(), Err: err}}
	}
	return File{Path: name, Text: data}, nil
}

// Parse is the second half of [Load]: it decodes and validates the text.
func (f *File) Parse() (*Config, []Warning, error) {
	if f.Dir == "" {
		f.Dir = filepath.Dir(f.Path)
	}
	files := files{dir: f.Dir, contents: f.Contents, kept: f.Contents != nil}
	if !files.kept {
		files.contents = map[string][]byte{}
	}
	variables := variables{values: f.Variables, kept: files.kept}
	if !variables.kept {
		variables.values = map[string]string{}
	}
	cfg, warnings, err := parse(f.Path, f.Text, f.mode, files, variables)
	f.Contents, f.Variables = files.contents, variables.values
	return cfg, warnings, err
}

// Parse is [Load] for a document in memory; errors and warnings show name as its path.
func Parse(name string, data []byte) (*Config, []Warning, error) {
	f := File{Path: name, Text: data}
	return f.Parse()
}

// Default returns the RegistryConfig that holds only apiVersion and kind, with every default.
func Default() *Config {
	cfg := &Config{APIVersion: APIVersion, Kind: Kind}
	syntax.SetDefaults(reflect.ValueOf(cfg).Elem())
	cfg.ECR.Credentials = defaultCredentials()
	return cfg
}

// Files lists the files that c names, sorted and without duplicates. A change of one of them
// changes the meaning of c. The shared credentials file is included.
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
	for _, r := range c.ECR.Registries {
		credentials = append(credentials, r.Credentials...)
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

func parse(name string, data []byte, mode fs.FileMode, files files, variables variables) (*Config, []Warning, error) {
	r := &syntax.Report{File: name}
	document, mistake := syntax.ParseDocument(data)
	if mistake != nil {
		r.Add(mistake)
		return nil, nil, r.Result()
	}
	cfg := &Config{}
	root := &location{Node: document}
	if document.Kind != yaml.MappingNode {
		r.Add(&Error{Line: document.Line, Column: document.Column,
			Message: "must be a mapping; begin with apiVersion: " + APIVersion + " and kind: " + Kind})
		return nil, nil, r.Result()
	}
	d := syntax.NewDecoder(r, fieldHint)
	syntax.SetDefaults(reflect.ValueOf(cfg).Elem())
	d.Decode(root, reflect.ValueOf(cfg).Elem(), document)
	if !d.Stopped() {
		c := &checker{Report: r, broken: d.Broken, cfg: cfg, mode: mode, files: files, variableValues: variables}
		c.variables(root, data)
		c.check(root)
	}
	if err := r.Result(); err != nil {
		return nil, r.Warnings(), err
	}
	return cfg, r.Warnings(), nil
}
