package hostsconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// maxForeign is how much is read of a file that somebody else wrote.
const maxForeign = 1 << 20

// errNotRegular reports something that is not read: opening it could wait
// without end, and reading it could fill the memory.
var errNotRegular = errors.New("not read")

// opener opens files: those below one directory, as [os.Root] does, or those
// of this machine.
type opener interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// osFiles opens whatever this process can reach.
type osFiles struct{}

func (osFiles) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
func (osFiles) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// ReadSafely reads a file of this machine that somebody else wrote. It opens
// nothing but regular files of at most 1 MiB: another one is an error, as is one
// that is missing ([fs.ErrNotExist]); errors do not name the file.
func ReadSafely(name string) ([]byte, error) { return readSafely(osFiles{}, name) }

// readSafely reads a file of somebody else's, links followed as in allows it.
// It opens nothing but regular files of a sensible size ([errNotRegular]), and
// names no file in its errors but a missing one is [fs.ErrNotExist].
func readSafely(in opener, name string) ([]byte, error) {
	info, err := in.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	// It can have become something else by now: a fifo must not hang.
	f, err := in.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, withoutPath(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxForeign+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(content) > maxForeign {
		return nil, tooLarge()
	}
	return content, nil
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular() && info.Size() > maxForeign:
		return tooLarge()
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%w: it is a directory and no file", errNotRegular)
	case mode&fs.ModeNamedPipe != 0:
		return fmt.Errorf("%w: it is a fifo, on which containerd waits without end", errNotRegular)
	}
	return fmt.Errorf("%w: it is a device or socket", errNotRegular)
}

func tooLarge() error { return fmt.Errorf("%w: it is larger than 1 MiB", errNotRegular) }

func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// tlsFiles lists the files that some containerd opens beside the hosts.toml with
// this content, as they are named there. What none can parse names none.
func tlsFiles(content []byte) []string {
	type table struct {
		CA     any `toml:"ca"`
		Client any `toml:"client"`
	}
	var file struct {
		table
		Host map[string]table `toml:"host"`
	}
	names := tlsFilesV1(content)
	if err := toml.Unmarshal(content, &file); err == nil {
		for _, t := range file.Host {
			names = append(names, stringsIn(t.CA)...)
			names = append(names, stringsIn(t.Client)...)
		}
		names = append(names, stringsIn(file.CA)...)
		names = append(names, stringsIn(file.Client)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// dockerCertificates lists what containerd takes for certificates where a directory
// has no usable hosts.toml, as Docker has them.
func dockerCertificates(dir string) []string {
	var names []string
	for _, pattern := range []string{"*.crt", "*.cert", "*.key"} {
		found, _ := filepath.Glob(filepath.Join(escaped(dir), pattern))
		names = append(names, found...)
	}
	return names
}

// escaped makes a path stand for itself in a pattern.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
