package helper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Find returns the path of a helper's program, as it would be run: NAME is docker-credential-NAME on
// the PATH of environ. The error is an *[Error]. Only root and this process's user may be able to
// change the program.
func Find(program string, environ []string) (string, error) {
	return find(program, environment(environ))
}

func find(program string, env []string) (string, error) {
	path := program
	if !filepath.IsAbs(program) {
		var err error
		if path, err = search("docker-credential-"+program, env); err != nil {
			return "", &Error{Program: program, Class: NotFound, Detail: err.Error()}
		}
	}
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &Error{Program: program, Class: NotFound, Detail: path + " does not exist"}
	case err != nil:
		return "", &Error{Program: program, Class: Refused, Detail: "its path cannot be followed"}
	}
	if err := safe(real); err != nil {
		return "", &Error{Program: program, Class: Refused, Detail: err.Error()}
	}
	// Who can replace a symlink on the way can replace the program.
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(real)} {
		if err := safeParents(dir); err != nil {
			return "", &Error{Program: program, Class: Refused, Detail: err.Error()}
		}
	}
	return path, nil
}

// search looks for a file in the absolute directories of PATH. The working directory, which an empty
// entry means, is not searched.
func search(name string, env []string) (string, error) {
	list := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			list = value
		}
	}
	for _, dir := range filepath.SplitList(list) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s in the absolute directories of PATH (%s)", name, list)
}

// safe refuses a program that is no executable file, or that another user can change.
func safe(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s cannot be read", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable; run: chmod 0755 %s", path, path)
	case !ours(info):
		return fmt.Errorf("%s belongs to another user; run: chown root %s", path, path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be changed by other users; run: chmod go-w %s", path, path)
	}
	return nil
}

// safeParents refuses a directory if another user can replace an entry of it, or of one above it. In
// a sticky directory, such as /tmp, only the owner can.
func safeParents(dir string) error {
	for {
		info, err := os.Stat(dir)
		switch {
		case err != nil:
			return fmt.Errorf("%s cannot be read", dir)
		case !ours(info):
			return fmt.Errorf("the directory %s belongs to another user; run: chown root %s", dir, dir)
		case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
			return fmt.Errorf("other users can write to the directory %s; run: chmod go-w %s", dir, dir)
		}
		above := filepath.Dir(dir)
		if above == dir {
			return nil
		}
		dir = above
	}
}

// ours reports whether root or the user of this process owns a file.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid()
}
