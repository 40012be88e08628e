package reconcile

import "path/filepath"

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
