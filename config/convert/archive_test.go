package convert_test

import (
	"bytes"
	"io/fs"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/berth-registry/berth/config/convert"
)

// fileNames are the names under which the inputs are converted.
var fileNames = map[convert.Format]string{
	convert.RKE:        "cluster.yml",
	convert.K3s:        "registries.yaml",
	convert.Containerd: "config.toml",
	convert.Rancher:    "cluster.yaml",
	convert.Docker:     "daemon.json",
	convert.CertsD:     "/etc/certs/certs.d/docker.io/hosts.toml",
}

// directoryNames are those of inputs that are directories.
var directoryNames = map[convert.Format]string{
	convert.Docker: "/etc/certs/docker",
	convert.CertsD: "/etc/certs/certs.d",
}

// convertInput converts a file, or the directory in a txtar archive.
func convertInput(format convert.Format, data []byte) (convert.Result, error) {
	if tree := archive(format, data); tree != nil {
		return convert.Directory(format, directoryNames[format], tree, convert.Options{})
	}
	return convert.Convert(format, fileNames[format], data, convert.Options{})
}

// guessInput guesses the format of what [convertInput] converts.
func guessInput(format convert.Format, data []byte) (convert.Format, error) {
	if tree := archive(format, data); tree != nil {
		return convert.GuessDirectory(tree)
	}
	return convert.Guess(data)
}

// archive returns the files in data, nil if it is not an archive.
func archive(format convert.Format, data []byte) fs.FS {
	if directoryNames[format] == "" || !bytes.HasPrefix(data, []byte("-- ")) {
		return nil
	}
	tree := fstest.MapFS{}
	for _, f := range txtar.Parse(data).Files {
		if fs.ValidPath(f.Name) {
			tree[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o600}
		}
	}
	return tree
}
