package hostsconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	old "github.com/containerd/containerd/remotes/docker/config"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/berth-registry/berth/internal/plainfile"
)

// ErrCrashes reports a hosts.toml on which containerd 1.6 and 1.7 crash at the pull.
var ErrCrashes = errors.New(`containerd crashes at the pull: [host] has a key that is not the table of a host`)

// RegistryHosts returns the hosts that releases of family f ask for images of registry if dir is
// the directory that wins ("" if there is none), built by containerd's own package of that line.
// They have no Authorizer. update, if not nil, is applied to each client.
//
// The caller must have checked the content of hosts.toml: every file that it names is opened. The
// error is one that fails the pull; a hosts.toml that is ignored is no error.
func (f Family) RegistryHosts(dir, registry string, update func(*http.Client) error) ([]docker.RegistryHost, error) {
	hosts, err := f.read(dir, registry, update)
	if skipped := (*skippedError)(nil); errors.As(err, &skipped) {
		err = nil
	}
	return hosts, err
}

// read is [Family.RegistryHosts], but if hosts.toml is ignored it also returns a [*skippedError]
// with the reason.
func (f Family) read(dir, registry string, update func(*http.Client) error) (hosts []docker.RegistryHost, err error) {
	if dir == "" {
		return f.readAt("", registry, update)
	}
	content, err := readSafely(osFiles{}, filepath.Join(dir, fileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f.v1() {
		if err := checkV1(content); err != nil {
			return nil, err
		}
	}
	if !f.v1() && f < Family24 && needsTOML11(content) {
		return f.withoutFile(dir, registry, update, errTOML11)
	}
	if f == Family16 && len(content) > 0 && lacksHostTable(content) {
		// This family ignores such a file; the linked package accepts it.
		return f.withoutFile(dir, registry, update, errNoHostTable)
	}
	if shown := f.hideUnknown(content); string(shown) != string(content) {
		return f.readAs(shown, content, dir, registry, update)
	}
	return f.readAt(dir, registry, update)
}

// withoutFile reads a directory whose hosts.toml is ignored because of cause. Only the
// certificates beside it count.
func (f Family) withoutFile(dir, registry string, update func(*http.Client) error, cause error) ([]docker.RegistryHost, error) {
	hosts, err := f.readAs(nil, nil, dir, registry, update)
	if err != nil {
		return nil, err
	}
	return hosts, &skippedError{cause}
}

// readAs reads a directory whose hosts.toml has content as if it had shown instead.
func (f Family) readAs(shown, content []byte, dir, registry string, update func(*http.Client) error) ([]docker.RegistryHost, error) {
	stage, remove, err := newStage("")
	if err != nil {
		return nil, err
	}
	defer remove()
	copied := &memory{}
	defer copied.release()
	if dir, err = emulate(copied, stage, dir, content, shown); err != nil {
		return nil, err
	}
	return f.readAt(dir, registry, update)
}

var (
	errNoHostTable = errors.New("it has no [host] table")
	errTOML11      = errors.New(`it needs TOML 1.1: a newline or trailing comma in braces, or a "\x" escape`)
)

// readAt calls containerd's package of the family's line. An error that the package only logs is
// returned as a [*skippedError]; nothing is printed.
func (f Family) readAt(dir, registry string, update func(*http.Client) error) (hosts []docker.RegistryHost, err error) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logged := &logErrors{}
	logger.AddHook(logged)
	ctx := log.WithLogger(context.Background(), logrus.NewEntry(logger))
	hostDir := func(string) (string, error) { return dir, nil }
	if f.v1() {
		hosts, err = readV1(ctx, old.HostOptions{HostDir: hostDir, UpdateClient: update}, registry)
	} else {
		hosts, err = dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{HostDir: hostDir, UpdateClient: update})(registry)
	}
	if err != nil {
		return nil, fileError(dir, err)
	}
	if logged.cause != nil {
		return hosts, &skippedError{logged.cause}
	}
	return hosts, nil
}

// readV1 calls the package of containerd 1.7, which panics on some files as the daemon does.
func readV1(ctx context.Context, options old.HostOptions, registry string) (hosts []docker.RegistryHost, err error) {
	defer func() {
		if recover() != nil {
			hosts, err = nil, ErrCrashes
		}
	}()
	found, err := old.ConfigureHosts(ctx, options)(registry)
	for _, h := range found {
		hosts = append(hosts, docker.RegistryHost{
			Client: h.Client, Host: h.Host, Scheme: h.Scheme, Path: h.Path,
			Capabilities: docker.HostCapabilities(h.Capabilities), Header: h.Header,
		})
	}
	return hosts, err
}

// emulate creates a directory below stage that reads like dir, with shown as the content of
// hosts.toml. Symlinks lead to the other files. content is the real hosts.toml; the relative paths
// that it names must resolve there too.
func emulate(copied *memory, stage, dir string, content, shown []byte) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	made := filepath.Join(stage, dir)
	if err := copied.put(filepath.Join(made, fileName), shown); err != nil {
		return "", err
	}
	names := dockerCertificates(dir)
	for _, name := range tlsFiles(content) {
		if !filepath.IsAbs(name) {
			names = append(names, filepath.Join(dir, name))
		}
	}
	for _, name := range names {
		at := filepath.Join(stage, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return "", err
		}
		if err := os.Symlink(name, at); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("%s: %w", name, plainfile.WithoutPath(err))
		}
	}
	return made, nil
}
