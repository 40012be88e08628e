package doctor

import (
	"fmt"
	"os"

	"github.com/berth-registry/berth/credprovider"
)

// permissions checks the modes of files that hold secrets.
func (e *examination) permissions() {
	const name = "permissions"
	before := len(e.findings)
	// Paths in the config are those of this process; the other paths are those of the node.
	var files []string
	if e.Config != nil {
		for _, r := range e.Config.Registries {
			files = append(files, r.PasswordFile, r.TLS.KeyFile)
		}
		files = append(files, e.Config.DockerConfigFile)
	}
	for _, own := range []string{credprovider.RulesFile} {
		if file, err := e.Machine.Root.Resolve(own); err == nil {
			files = append(files, file)
		}
	}
	for _, file := range files {
		if file == "" {
			continue
		}
		info, err := os.Stat(file)
		switch {
		case isNotExist(err):
		case err != nil:
			e.add(name, Warn, err.Error(), "run this as root")
		case info.Mode().Perm()&0o077 != 0:
			e.add(name, Warn, fmt.Sprintf("%s holds a secret, and has mode %04o", file, info.Mode().Perm()), "chmod 600 "+file)
		}
	}
	if dir, err := e.Machine.Root.Resolve(credprovider.TokenDir); err == nil {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
			e.add(name, Warn, fmt.Sprintf("%s holds tokens, and has mode %04o", credprovider.TokenDir, info.Mode().Perm()), "chmod 700 "+credprovider.TokenDir)
		}
	}
	for _, f := range e.findings {
		if f.Name == name {
			return
		}
	}
	if len(e.findings) == before {
		e.add(name, OK, "no file with a secret can be read by other users", "")
	}
}
