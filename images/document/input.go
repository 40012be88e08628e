package document

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxInput is the size of the largest file that is read, in bytes. All objects of a large cluster
// are smaller.
const MaxInput = 256 << 20

// Stdin is the name of standard input.
const Stdin = "-"

// ReadInput reads a file, or stdin for [Stdin]. An error names the file and, where there is a known
// remedy, says it.
func ReadInput(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != Stdin {
		f, err := os.Open(name)
		if err != nil {
			return nil, openError(name, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxInput+1))
	switch {
	case err != nil && name == Stdin:
		return nil, fmt.Errorf("standard input: %w", err)
	case err != nil:
		return nil, err // names the file already
	case len(data) > MaxInput:
		return nil, fmt.Errorf("%s: is larger than %d MiB; split it", name, MaxInput>>20)
	}
	return data, nil
}

func openError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(name, "://") {
		return fmt.Errorf("%s: a URL is not read; get it with curl -L and name the file, or - for standard input", name)
	}
	return err
}

// ManifestFiles returns the files to read for a file, a directory or [Stdin]: of a directory, all
// .yaml, .yml and .json files in it and below it, in lexical order. Any other name is returned
// unchanged. Symlinks to files are followed, symlinks to directories are not, so no file is read
// twice.
func ManifestFiles(name string) ([]string, error) {
	if name == Stdin {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, openError(name, err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// A mounted ConfigMap has a second copy of its files in ..data.
			if path != name && strings.HasPrefix(entry.Name(), "..") {
				return filepath.SkipDir
			}
			return nil
		}
		if !isManifest(entry.Name()) {
			return nil
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return nil
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file in this directory ends in .yaml, .yml or .json", name)
	}
	return files, nil
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name)))
}
