// Package program copies executables to a node. A file appears whole or not at all,
// and its hash tells later whether it is still the one that was copied.
package program

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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

// Replace writes content to a temporary file in the same directory, syncs it, and
// renames it to file. ready, if it is not nil, is called before the rename; its error,
// like every other, leaves file as it was. A kill may leave the temporary file: see [Sweep].
func Replace(file string, content io.Reader, mode fs.FileMode, ready func() error) (err error) {
	dir := filepath.Dir(file)
	random := make([]byte, 8)
	rand.Read(random) // never fails
	temp := filepath.Join(dir, "_berth-tmp-"+hex.EncodeToString(random)+"-file")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	_, err = io.Copy(f, content)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if ready != nil {
		if err = ready(); err != nil {
			return err
		}
	}
	if err = os.Rename(temp, file); err != nil {
		return err
	}
	return SyncDir(dir)
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

// SyncDir makes the names in a directory last through a crash.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
