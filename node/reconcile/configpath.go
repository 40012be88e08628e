package reconcile

import (
	"errors"
	"path/filepath"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/plainfile"
)

// ReadConfig reads the config at path, as this process sees it, or, if path is "", the one at
// [ConfigFile] below the root: symlinks there are resolved as on the node, so that none leads
// out of the root. The error is a [config.Errors].
func ReadConfig(root *nodefs.Root, path string) (config.File, error) {
	if path != "" {
		return config.Read(path)
	}
	name := root.Path(ConfigFile)
	target, err := root.Resolve(ConfigFile)
	if err != nil {
		return config.File{}, config.Errors{{File: name, Message: plainfile.WithoutPath(err).Error(), Err: err}}
	}
	file, err := config.ReadAs(target, name)
	var errs config.Errors
	if target != name && errors.As(err, &errs) {
		errs[0].Message = "leads to " + target + ": " + errs[0].Message
	}
	return file, err
}

// ConfigName is the path of the config in messages.
func (n *Node) ConfigName(path string) string {
	if path != "" {
		return path
	}
	return n.Root.Path(ConfigFile)
}

// ConfigFiles returns the files to watch to follow the config at path. A file watcher follows
// symlinks as this process does. Below another root, the symlinks of the node's own config may
// mean something else, so their present target is included.
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

// Absolute makes a path of this process absolute.
func Absolute(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}
