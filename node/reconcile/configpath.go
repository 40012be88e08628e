package reconcile

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/managedfile"
)

// ReadConfig reads the config at path, as this process names it, or, if path
// is "", the one at [ConfigFile] below the root: links there are resolved as
// on the node, so that none leads out of the root. The error is a
// [config.Errors].
func ReadConfig(root *managedfile.Root, path string) (config.File, error) {
	if path != "" {
		return config.Read(path)
	}
	name := root.Path(ConfigFile)
	target, err := root.Resolve(ConfigFile)
	if err != nil {
		return config.File{}, config.Errors{{File: name, Message: reason(err), Err: err}}
	}
	file, err := config.ReadAs(target, name)
	var errs config.Errors
	if target != name && errors.As(err, &errs) {
		errs[0].Message = "leads to " + target + ": " + errs[0].Message
	}
	return file, err
}

// reason leaves the path out of an error that is told behind it.
func reason(err error) string {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// ConfigName is what people call the config at path.
func (n *Node) ConfigName(path string) string {
	if path != "" {
		return path
	}
	return n.Root.Path(ConfigFile)
}

// ConfigFiles are what has to be watched to follow the config at path. A
// watcher of files follows links as this process does. Those of the node's own
// config may mean something else below another root, so what they lead to now
// is watched as well.
func (n *Node) ConfigFiles(path string) []string {
	if path != "" {
		return []string{Absolute(path)}
	}
	files := []string{n.Root.Path(ConfigFile)}
	if target, err := n.Root.Resolve(ConfigFile); err == nil && target != files[0] {
		files = append(files, target)
	}
	return files
}

// Absolute is what a relative path means to this process.
func Absolute(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}
