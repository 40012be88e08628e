// Package program copies executables to a node. A file appears whole or not at all,
// and its hash tells later whether it is still the one that was copied.
package program

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-registry/berth/internal/atomicfile"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Hash gives the SHA-256 of a file in hex, and its size in bytes.
func Hash(file string) (sum string, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// Replace writes content to a temporary file in the same directory, syncs it, and renames it to
// file. ready, if it is not nil, is called before the rename; its error, like every other, leaves
// file as it was. A kill may leave the temporary file: see [Sweep].
func Replace(file string, content io.Reader, mode fs.FileMode, ready func() error) error {
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := atomicfile.Temp{Dir: dir, Name: nodefs.NewTemporary(), Mode: mode, Ready: ready}
	if err := temp.Replace(filepath.Base(file), content); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir, ".")
}

// Remove removes a file for good: its name does not come back after a power failure.
func Remove(file string) error {
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(dir.Remove(filepath.Base(file)), atomicfile.SyncDir(dir, "."))
}

// Replacement is a file to replace, and its new content. Ready is as for [Replace].
type Replacement struct {
	File    string
	Content io.Reader
	Ready   func() error
}

// ReplaceAll replaces files that belong together, in order. If the content of one cannot be written,
// or one is not ready, all stay as they were. Only a kill or a rename that fails leaves some of them
// replaced: the first ones.
func ReplaceAll(mode fs.FileMode, all ...Replacement) error {
	if len(all) == 0 {
		return nil
	}
	before, last := all[:len(all)-1], all[len(all)-1]
	return Replace(last.File, last.Content, mode, func() error {
		if last.Ready != nil {
			if err := last.Ready(); err != nil {
				return err
			}
		}
		return ReplaceAll(mode, before...)
	})
}

// Sweep removes the temporary files that killed runs left in dir. It is for a
// directory that no other part of Berth writes to.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !nodefs.Temporary(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
