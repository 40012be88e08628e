package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/redact"
)

// The largest files that are read. The first is the limit of a ConfigMap.
const (
	maxConfigSize = 1 << 20
	maxPEMSize    = 1 << 20
	maxSecretSize = 64 << 10
)

// readFile reads a regular file of at most limit bytes. It follows symbolic
// links, because that is how Kubernetes mounts secrets. The errors do not
// repeat the path.
func readFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, 0, errors.New("is no path: it holds a NUL byte")
	}
	// Without O_NONBLOCK the open of a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("is %s; a regular file is needed", kindOf(info.Mode()))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, 0, &sizeError{limit}
	}
	return data, info.Mode(), nil
}

// sizeError says that a file is larger than it may be.
type sizeError struct{ limit int64 }

func (e *sizeError) Error() string { return "is larger than " + size(e.limit) }

// files are those that a config names.
type files struct {
	contents map[string][]byte
	kept     bool // they are all there is
}

func (f files) read(path string, limit int64) ([]byte, fs.FileMode, error) {
	if f.kept {
		data, ok := f.contents[path]
		if !ok {
			return nil, 0, fs.ErrNotExist
		}
		return data, 0, nil
	}
	data, mode, err := readFile(path, limit)
	if err == nil {
		f.contents[path] = data
	}
	return data, mode, err
}

// withoutPath keeps the cause of a file error and drops the path, which the
// caller shows in its own place. errors.Is still works.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
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

// read reads a file that the field at s names. When it is private, a file that
// everybody may read brings a warning.
func (c *checker) read(s *spot, path string, limit int64, private bool) ([]byte, bool) {
	data, mode, err := c.files.read(path, limit)
	if err != nil {
		shown, message := path, fileRemedy(err)
		if private && !looksLikePath(path) {
			shown, message = "", "is no path of a file that can be read; a path begins with a slash, and the secret itself does not belong here"
		}
		line, column := s.position()
		c.add(&Error{Line: line, Column: column, Field: s.path(), Value: shown, Message: message, Err: err})
		return nil, false
	}
	if private && mode.Perm()&0o004 != 0 {
		c.warn(s, "everybody on this machine can read %s (mode %04o); chmod 0600 it", path, mode.Perm())
	}
	return data, true
}

// looksLikePath tells a path from a secret that was written in its place, and
// which must not be repeated. It may have slashes inside, as AWS keys do.
func looksLikePath(s string) bool {
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
}

func fileRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err.Error() + "; create the file or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + "; let the user that runs berth read it"
	}
	return err.Error()
}

// isText reports whether a secret reaches JSON, and so kubelet, as it is: what
// is not UTF-8 becomes U+FFFD on the way, silently, and so that character
// means that it has happened before.
func isText(secret string) bool {
	return !strings.ContainsRune(secret, utf8.RuneError)
}

// secretFile reads a file that holds one secret and nothing else. Nothing of
// its content goes into an error.
func (c *checker) secretFile(s *spot, path string) redact.Secret {
	data, ok := c.read(s, path, maxSecretSize, true)
	if !ok {
		return redact.Secret{}
	}
	secret := strings.TrimRight(string(data), "\r\n")
	switch {
	case secret == "":
		c.reject(s, path, "is empty; write the secret into it")
	case hasControl(secret):
		c.reject(s, path, "holds more than one line or a control character; write the secret alone into it")
	case !isText(secret):
		c.reject(s, path, "is not UTF-8; write the secret anew in UTF-8, or choose one without special characters")
	}
	return redact.New(secret)
}
