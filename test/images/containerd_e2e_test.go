//go:build e2e

package images

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// startContainerd runs Debian's containerd without its CRI, and returns its socket.
func startContainerd(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctd") // the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "c.sock")
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("/usr/bin/containerd", "--config", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-ended
	})
	for {
		if exec.CommandContext(t.Context(), "ctr", "-a", socket, "version").Run() == nil {
			return socket
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("containerd: %v\n%s", err, &log)
		case <-t.Context().Done():
			t.Fatalf("containerd does not answer\n%s", &log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// serve serves a directory in the OCI layout under a name from a registry without a login.
func serve(t *testing.T, dir, repository, tag string) *fakeregistry.Server {
	t.Helper()
	s := fakeregistry.Start(fakeregistry.Options{})
	t.Cleanup(s.Close)
	var index struct {
		Manifests []struct{ MediaType, Digest string }
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(raw, &index)
	}
	if err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%v: %s", err, raw)
	}
	err = fs.WalkDir(os.DirFS(dir), "blobs", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		s.PutBlob(repository, raw)
		var m struct {
			MediaType string `json:"mediaType"`
		}
		if json.Unmarshal(raw, &m) != nil || m.MediaType == "" {
			return nil
		}
		name = ""
		if strings.HasSuffix(d.Name(), strings.TrimPrefix(index.Manifests[0].Digest, "sha256:")) {
			name = tag
		}
		s.PutManifest(repository, name, m.MediaType, raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// containerd fetches the platform that a partly copied index has, whole or reduced, and fails for
// one that it does not have.
func TestContainerdTakesAPart(t *testing.T) {
	b := prepareWith(t, sample.Options{Seed: 1, Images: 2, MinLayer: 100, MaxLayer: 2000})
	socket := startContainerd(t)
	for _, flags := range [][]string{nil, {"--reduce-index"}} {
		dir := filepath.Join(b.Dir, "part"+strings.Join(flags, ""))
		image := b.Set.Images[1]
		if image.Shape != "index" {
			t.Fatal(image.Shape)
		}
		list := fmt.Sprintf("%s/%s:%s\n", b.Source.Addr(), image.Repository, image.Tag)
		if err := os.WriteFile(b.List(), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := b.Command(t.Context(), "oci:"+dir)
		cmd.Args = append(append(cmd.Args, "--platform", "linux/amd64"), flags...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s := serve(t, dir, image.Repository, image.Tag)
		fetch := func(platform string) (string, error) {
			out, err := exec.CommandContext(t.Context(), "ctr", "-a", socket, "-n", "part"+strings.Trim(strings.Join(flags, ""), "-"),
				"content", "fetch", "--plain-http", "--platform", platform, s.Addr()+"/"+image.Repository+":"+image.Tag).CombinedOutput()
			return string(out), err
		}
		if out, err := fetch("linux/amd64"); err != nil {
			t.Errorf("%q: %v\n%s", flags, err, out)
		}
		if out, err := fetch("linux/arm64"); err == nil && len(flags) == 0 {
			t.Errorf("%q: a platform that is not there is fetched:\n%s", flags, out)
		}
	}
}
