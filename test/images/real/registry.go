// Package real runs Debian's docker-registry on loopback, puts sets of images into it, records and
// disturbs the requests to it, and compares its content with the expected content, including the
// bytes of each blob in its store.
package real

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Program is the path in Debian's package.
const Program = "/usr/bin/docker-registry"

// Registry is a running docker-registry.
type Registry struct {
	dir  string // its own directory, removed at the end
	addr string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *bytes.Buffer // whole once done is closed
	own  bool
}

// Dir makes a directory for registries: in memory if there is space, because docker-registry syncs
// every file and the disk is not under test. The caller must remove it.
func Dir() (string, error) {
	const memory, room = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) > room {
		if dir, err := os.MkdirTemp(memory, "berth-trial-"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "berth-trial-")
}

// Start runs a docker-registry with an empty store in a new directory below parent ("" is that for
// temporary files). The caller must call Close.
func Start(ctx context.Context, parent string) (*Registry, error) {
	dir, err := os.MkdirTemp(parent, "berth-registry-")
	if err != nil {
		return nil, err
	}
	r, err := Open(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r.own = true
	return r, nil
}

// Open runs a docker-registry with the store in dir, which Close keeps.
func Open(ctx context.Context, dir string) (*Registry, error) {
	if _, err := os.Stat(Program); err != nil {
		return nil, fmt.Errorf("docker-registry is missing: run apt-get install -y --no-install-recommends docker-registry (%w)", err)
	}
	var err error
	for range 5 { // another process may take the port in between
		var r *Registry
		if r, err = open(ctx, dir); err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func open(ctx context.Context, dir string) (*Registry, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	raw, err := json.Marshal(object{
		"version": "0.1",
		"log":     object{"level": "error", "accesslog": object{"disabled": true}},
		"storage": object{"filesystem": object{"rootdirectory": filepath.Join(dir, "store"), "maxthreads": 100}},
		"http":    object{"addr": addr, "secret": "of this test"},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.yml") // JSON is YAML
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	r := &Registry{dir: dir, addr: addr, done: make(chan struct{}), log: &bytes.Buffer{}}
	r.cmd = exec.Command(Program, "serve", file)
	// It ends with us; no REGISTRY_… variable may change its configuration.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.cmd.Env = []string{"HOME=" + dir}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait() // "signal: killed" is expected after Close
	}()
	if err := r.ready(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ready waits until it answers.
func (r *Registry) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		resp, err := get(ctx, "http://"+r.addr+"/v2/")
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-r.done:
			return fmt.Errorf("docker-registry ended at once:\n%s", r.log)
		case <-ctx.Done():
			return fmt.Errorf("docker-registry does not answer: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// Addr returns host:port.
func (r *Registry) Addr() string { return r.addr }

// Store returns the directory with its blobs and repositories.
func (r *Registry) Store() string { return filepath.Join(r.dir, "store/docker/registry/v2") }

// Close stops the process, and removes the store if Start made it.
func (r *Registry) Close() error {
	_ = r.cmd.Process.Kill() // it may have ended
	<-r.done
	if !r.own {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// PutBlob stores a blob.
func (r *Registry) PutBlob(repository string, content []byte) error {
	resp, err := http.Post("http://"+r.addr+"/v2/"+repository+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		return fmt.Errorf("begin an upload: %s", resp.Status)
	}
	query := location.Query()
	query.Set("digest", digestOf(content))
	location.RawQuery = query.Encode()
	return r.put(location.String(), "application/octet-stream", content)
}

// PutManifest stores a manifest.
func (r *Registry) PutManifest(repository, tag, mediaType string, raw []byte) error {
	if tag == "" {
		tag = digestOf(raw)
	}
	return r.put("http://"+r.addr+"/v2/"+repository+"/manifests/"+tag, mediaType, raw)
}

func (r *Registry) put(url, mediaType string, content []byte) error {
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("PUT %s: %s: %s", strings.SplitN(url, "?", 2)[0], resp.Status, text)
	}
	return nil
}
