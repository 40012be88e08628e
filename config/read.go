package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/plainfile"
	"github.com/berth-registry/berth/internal/redact"
)

// Limits for the sizes of the files that a config names, in bytes.
const (
	maxPEMSize    = 1 << 20
	maxSecretSize = 64 << 10
)

// readFile reads a regular file of at most limit bytes and returns its mode. It follows symlinks,
// because Kubernetes mounts secrets as symlinks. Errors do not contain the path.
func readFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, 0, errors.New("is not a path: it contains a NUL byte")
	}
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, plainfile.WithoutPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, plainfile.WithoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("is %s; a regular file is needed", kindOf(info.Mode()))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, plainfile.WithoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, 0, &sizeError{limit}
	}
	return data, info.Mode(), nil
}

// sizeError reports a file that is larger than its limit.
type sizeError struct{ limit int64 }

func (e *sizeError) Error() string { return "is larger than " + size(e.limit) }

// files reads the files that a config names.
type files struct {
	dir      string            // where relative paths start: the directory of the config
	contents map[string][]byte // by the name in the config
	kept     bool              // use contents only and read no file
}

// locate returns the path of a file that the config names. Relative paths start at the config's
// directory. Older versions started at the working directory; a file that exists only there is
// still used, and elsewhere is true.
func (f files) locate(written string) (path string, elsewhere bool) {
	if filepath.IsAbs(written) || written == "" {
		return written, false
	}
	path = filepath.Join(f.dir, written)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, false
	}
	if _, err := os.Stat(written); err == nil {
		return written, true
	}
	return path, false
}

// read returns the content of the file that the config names as written and that is at path.
func (f files) read(written, path string, limit int64) ([]byte, fs.FileMode, error) {
	if f.kept {
		data, ok := f.contents[written]
		if !ok {
			return nil, 0, fs.ErrNotExist
		}
		return data, 0, nil
	}
	data, mode, err := readFile(path, limit)
	if err == nil {
		f.contents[written] = data
	}
	return data, mode, err
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// read reads the file that the field at s names and sets *path to its location. If private is set,
// a file that everybody can read causes a warning.
func (c *checker) read(s *location, path *string, limit int64, private bool) ([]byte, bool) {
	written := *path
	located, elsewhere := c.files.locate(written)
	data, mode, err := c.files.read(written, located, limit)
	if err != nil {
		line, column := s.Position()
		shown := s.Shown(written)
		c.Add(&Error{Line: line, Column: column, Field: s.Path(), Value: shown,
			Message: fileRemedy(err, written, private && shown == ""), Err: err})

		return nil, false
	}
	*path = located
	if elsewhere {
		c.warn(s, "%s is read from the working directory; %s; move it there, or write its whole path", located, relativeStart)
	}
	if private && mode.Perm()&0o004 != 0 {
		c.warn(s, "everybody on this machine can read %s (mode %04o); chmod 0600 it", located, mode.Perm())
	}
	return data, true
}

const relativeStart = "relative paths begin in the directory of this config"

// fileRemedy says why a file cannot be read and what to do. unnamed says that the written text may
// be the secret itself.
func fileRemedy(err error, written string, unnamed bool) string {
	relative := !filepath.IsAbs(written) && strings.IndexByte(written, 0) < 0
	switch {
	case unnamed && relative:
		return "is not the path of a readable file; " + relativeStart + ", and the secret itself does not belong here"
	case unnamed:
		return "is not the path of a readable file; the secret itself does not belong here"
	case errors.Is(err, fs.ErrNotExist) && relative:
		return err.Error() + "; " + relativeStart + "; create the file or correct the path"
	case errors.Is(err, fs.ErrNotExist):
		return err.Error() + "; create the file or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + "; make it readable for the user that runs berth"
	case errors.Is(err, syscall.ELOOP):
		return "is a symlink that leads back to itself; remove it and write the file"
	case errors.Is(err, syscall.ENOTDIR):
		return "a part of the path is a file, not a directory; correct the path"
	}
	return err.Error()
}

// isText reports whether JSON, and so kubelet, carries a secret unchanged. Encoding silently
// replaces bytes that are not UTF-8 by U+FFFD; that character in a secret means that this already
// happened.
func isText(secret string) bool {
	return !strings.ContainsRune(secret, utf8.RuneError)
}

// trimSecret removes the line break at the end of a file that holds one secret: "\n" or "\r\n". A
// secret of several lines keeps all others as they are. One of a single line cannot end in a line
// break, so all of them are removed.
func trimSecret(content string) string {
	if line := strings.TrimRight(content, "\r\n"); !strings.ContainsAny(line, "\r\n") {
		return line
	}
	content, _ = strings.CutSuffix(content, "\n")
	content, _ = strings.CutSuffix(content, "\r")
	return content
}

// secretFile reads a file that holds one secret, without the line break at its end. invalid reports
// a character that the secret cannot hold. Errors show none of the content.
func (c *checker) secretFile(s *location, path *string, invalid func(string) bool) redact.Secret {
	data, ok := c.read(s, path, maxSecretSize, true)
	if !ok {
		return redact.Secret{}
	}
	secret := trimSecret(string(data))
	switch {
	case secret == "":
		c.reject(s, *path, "is empty; write the secret into it")
	case invalid(secret) && !hasControl(strings.NewReplacer("\r", "", "\n", "").Replace(secret)):
		c.reject(s, *path, "holds more than one line; write the secret alone into it")
	case invalid(secret):
		c.reject(s, *path, "holds a control character; write the secret alone into it")
	case !isText(secret):
		c.reject(s, *path, "is not UTF-8; write the secret again in UTF-8, or choose one without special characters")
	}
	return redact.New(secret)
}
