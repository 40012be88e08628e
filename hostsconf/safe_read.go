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

	"github.com/berth-registry/berth/internal/plainfile"
)

// maxForeign is the largest foreign file that is read, in bytes.
const maxForeign = 1 << 20

// errNotRead reports an entry that is not read: opening it could block forever, or reading it
// could fill the memory.
var errNotRead = errors.New("not read")

// opener opens files: below one directory ([os.Root]), or anywhere on this machine ([osFiles]).
type opener interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// osFiles opens any file that this process can reach.
type osFiles struct{}

func (osFiles) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }
func (osFiles) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// ReadSafely reads a foreign file of this machine. It opens only regular files of at most 1 MiB;
// any other entry is an error, and a missing one is [fs.ErrNotExist]. Errors do not name the file.
func ReadSafely(name string) ([]byte, error) { return readSafely(osFiles{}, name) }

// readSafely is [ReadSafely] through in, which decides how symlinks are followed. An entry that is
// not a regular file of an acceptable size gives [errNotRead].
func readSafely(in opener, name string) ([]byte, error) {
	info, err := in.Stat(name)
	if err != nil {
		return nil, plainfile.WithoutPath(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	// The entry may have been replaced since Stat: opening a fifo must not block.
	f, err := in.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, plainfile.WithoutPath(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, plainfile.WithoutPath(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxForeign+1))
	if err != nil {
		return nil, plainfile.WithoutPath(err)
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
		return fmt.Errorf("%w: it is a directory, not a file", errNotRead)
	case mode&fs.ModeNamedPipe != 0:
		return fmt.Errorf("%w: it is a fifo, on which containerd would hang", errNotRead)
	}
	return fmt.Errorf("%w: it is a device or socket", errNotRead)
}

func tooLarge() error { return fmt.Errorf("%w: it is larger than 1 MiB", errNotRead) }

// tlsFiles lists the certificate and key files that some containerd release opens for a hosts.toml
// with this content, as written there. It returns none if no release can parse the content.
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

// dockerCertificates lists the files that containerd uses as certificates, in Docker's layout, if
// the directory has no usable hosts.toml.
func dockerCertificates(dir string) []string {
	var names []string
	for _, pattern := range []string{"*.crt", "*.cert", "*.key"} {
		found, _ := filepath.Glob(filepath.Join(escaped(dir), pattern))
		names = append(names, found...)
	}
	return names
}

// escaped quotes a path for use in a glob pattern.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
