package node

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/providerconfig"
)

// ReadProviders reads a CredentialProviderConfig of the node: a file or, since kubelet 1.34, a
// directory of files. The error names the file with which kubelet would not start.
func ReadProviders(root *nodefs.Root, config string) ([]providerconfig.Entry, error) {
	real, err := root.Resolve(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	files := []string{real}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		entries, err := os.ReadDir(real)
		if err != nil {
			return nil, err
		}
		files = nil
		for _, entry := range entries {
			switch filepath.Ext(entry.Name()) {
			case ".json", ".yaml", ".yml":
				files = append(files, filepath.Join(real, entry.Name()))
			}
		}
	}
	var all []providerconfig.Entry
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		entries, err := providerconfig.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, entries...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no .json, .yaml or .yml file in this directory", config)
	}
	return all, nil
}
