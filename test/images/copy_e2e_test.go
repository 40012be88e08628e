//go:build e2e

// Package images tries berth images copy with a real docker-registry: the short
// form of what the program bench does.
package images

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/test/images/real"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/images/trial"
)

// berth is the program: the one that was built, or one built now.
func berth(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("BERTH_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "berth")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/berth-registry/berth/cmd/berth").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func prepare(t *testing.T, images int) *trial.Bed {
	t.Helper()
	dir, err := real.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := trial.Prepare(t.Context(), berth(t), dir, sample.Options{Seed: 1, Images: images, MinLayer: 100, MaxLayer: 64 << 10, SharedBy: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func report(t *testing.T, res trial.Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range res.Wrong {
		t.Error(w)
	}
	t.Logf("%+v", res)
}

func TestCopy(t *testing.T) {
	b := prepare(t, 20)
	t.Run("exact", func(t *testing.T) {
		res, err := b.Exact(t.Context())
		report(t, res, err)
		if res.Sent < 150 {
			t.Errorf("%d things were sent: too few to show anything", res.Sent)
		}
	})
	t.Run("killed", func(t *testing.T) {
		res, err := b.Killed(t.Context(), 6, func(string) {})
		report(t, res, err)
		if res.Kills < 6 {
			t.Errorf("%d kills", res.Kills)
		}
	})
	t.Run("failing", func(t *testing.T) {
		res, err := b.Failing(t.Context(), 0.1)
		report(t, res, err)
		if res.Failures < 50 {
			t.Errorf("%d requests failed: too few to show anything", res.Failures)
		}
	})
}

// The harness notices a copy that is not exact, and one that sends everything
// anew.
func TestHarnessNotices(t *testing.T) {
	b := prepare(t, 10)
	different, err := b.Source.Differences(t.Context(), b.Set)
	if err != nil || len(different) > 0 {
		t.Fatalf("%v %q", err, different)
	}
	extra := &sample.Set{Images: b.Set.Images, Tags: b.Set.Tags[1:], Manifests: b.Set.Manifests, Blobs: b.Set.Blobs, Unique: b.Set.Unique}
	if different, err = b.Source.Differences(t.Context(), extra); err != nil || len(different) != 1 {
		t.Errorf("a tag too many: %v %q", err, different)
	}
	if b.Berth, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	t.Setenv(naiveVar, "1")
	res, err := b.Exact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(res.Wrong, "\n"), "sent though it was there") {
		t.Errorf("a copy that sends everything twice: %q", res.Wrong)
	}
}

// naiveVar makes this program one that puts a manifest to the target twice,
// whatever is there.
const naiveVar = "BERTH_TEST_NAIVE"

func TestMain(m *testing.M) {
	if os.Getenv(naiveVar) != "" {
		os.Exit(naive(os.Args[len(os.Args)-1]))
	}
	os.Exit(m.Run())
}

func naive(target string) int {
	const index = `{"schemaVersion":2,"mediaType":"` + sample.OCIIndex + `","manifests":[]}`
	for range 2 {
		req, err := http.NewRequest(http.MethodPut, "http://"+target+"/v2/naive/manifests/tag", strings.NewReader(index))
		if err != nil {
			return 1
		}
		req.Header.Set("Content-Type", sample.OCIIndex)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 1
		}
		resp.Body.Close()
	}
	return 0
}

// A directory on a disk that is full: one line for each image, and nothing that
// looks whole.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this mounts a file system: run it as root")
	}
	b := prepare(t, 10)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	out, err := b.Command(t.Context(), "oci:"+filepath.Join(disk, "layout")).CombinedOutput()
	if err == nil || err.Error() != "exit status 1" {
		t.Errorf("%v, want exit code 1", err)
	}
	lines := 0
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "berth: ") {
			lines++
			if !strings.Contains(line, "no space left on device") {
				t.Errorf("%q", line)
			}
		}
	}
	if lines == 0 || lines > 11 {
		t.Errorf("%d lines of errors for 10 images:\n%s", lines, out)
	}
	left, err := filepath.Glob(filepath.Join(disk, "layout/blobs/sha256/.partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, left: %q", err, left)
	}
}

// A registry on a disk that is full.
func TestFullRegistry(t *testing.T) {
	b := prepare(t, 10)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	target, err := real.Start(t.Context(), disk)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	out, err := b.Command(t.Context(), target.Addr()).CombinedOutput()
	if err == nil {
		t.Errorf("no error:\n%s", out)
	}
	if n := strings.Count(string(out), "\nberth: "); n == 0 || strings.Count(string(out), "no space left") < n {
		t.Errorf("%d errors:\n%s", n, out)
	}
}
