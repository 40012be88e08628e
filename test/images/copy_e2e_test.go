//go:build e2e

// Package images tries berth images copy with a real docker-registry: the short
// form of what the program bench does.
package images

import (
	"fmt"
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
	b, err := trial.Prepare(t.Context(), berth(t), t.TempDir(), sample.Options{Seed: 1, Images: images, MinLayer: 100, MaxLayer: 64 << 10, SharedBy: 8})
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
	b.Berth = naive(t, b)
	res, err := b.Exact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(res.Wrong, "\n"), "sent though it was there") {
		t.Errorf("a copy that sends everything twice: %q", res.Wrong)
	}
}

// naive is a program that puts the first manifest of the set to the target
// twice, whatever is there.
func naive(t *testing.T, b *trial.Bed) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "naive")
	script := fmt.Sprintf(`#!/bin/sh
for last; do :; done
printf '{"schemaVersion":2,"mediaType":%q,"manifests":[]}' > "$0.json"
for i in 1 2; do
  curl -sf -X PUT -H 'Content-Type: %s' --data-binary @"$0.json" "http://$last/v2/naive/manifests/tag" || exit 1
done
`, sample.OCIIndex, sample.OCIIndex)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
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
	if exit := new(exec.ExitError); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v, %v, want exit code 1", err, exit)
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
