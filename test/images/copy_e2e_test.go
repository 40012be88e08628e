//go:build e2e

// Package images tests berth images copy with a real docker-registry: the short form of the program
// bench.
package images

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/real"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/images/trial"
)

// berth returns the program: the built one, or a new build.
func berth(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("BERTH_BIN"); path != "" {
		return path
	}
	return goBuild(t, "./cmd/berth")
}

func goBuild(t *testing.T, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := gobuild.Programs(t.Context(), "../..", path, pkg); err != nil {
		t.Fatal(err)
	}
	return path
}

func prepare(t *testing.T, images int) *trial.Fixture {
	t.Helper()
	return prepareWith(t, sample.Options{Seed: 1, Images: images, MinLayer: 100, MaxLayer: 64 << 10, SharedBy: 8})
}

func prepareWith(t *testing.T, o sample.Options) *trial.Fixture {
	t.Helper()
	dir, err := real.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := trial.Prepare(t.Context(), berth(t), dir, o)
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
	b := prepare(t, 12)
	t.Run("exact", func(t *testing.T) {
		res, err := b.Exact(t.Context())
		report(t, res, err)
		if res.Sent < 100 {
			t.Errorf("%d things were sent: too few to show anything", res.Sent)
		}
	})
	t.Run("killed", func(t *testing.T) {
		res, err := b.Killed(t.Context(), 5, func(string) {})
		report(t, res, err)
		if res.Kills < 5 {
			t.Errorf("%d kills", res.Kills)
		}
	})
	t.Run("failing", func(t *testing.T) {
		res, err := b.Failing(t.Context(), 0.1)
		report(t, res, err)
		if res.Failures < 20 {
			t.Errorf("%d requests failed: too few to show anything", res.Failures)
		}
	})
	t.Run("bundle", func(t *testing.T) {
		res, err := b.Bundle(t.Context(), 10, func(string) {})
		report(t, res, err)
		if res.Kills < 20 {
			t.Errorf("%d kills", res.Kills)
		}
	})
	t.Run("layout", func(t *testing.T) {
		res, err := b.Layout(t.Context(), 2)
		report(t, res, err)
		if res.Kills < 2 {
			t.Errorf("%d kills", res.Kills)
		}
	})
}

// The trials must find the faults of a careless copy, and of damaged registries.
func TestControls(t *testing.T) {
	b := prepare(t, 6)
	unnoticed, err := b.Controls(t.Context(), goBuild(t, "./test/images/naive"))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range unnoticed {
		t.Error(u)
	}
}

// smallDisk returns a directory with less space than the images need, and a function that gives it
// enough.
func smallDisk(t *testing.T) (dir string, grow func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this mounts a file system: run it as root")
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func() {
		if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
	}
}

// wantNoSpace runs a copy to a target that has too little space: the exit code is 1, and one line
// gives the reason for all images that failed.
func wantNoSpace(t *testing.T, b *trial.Fixture, to string) {
	t.Helper()
	out, err := b.Command(t.Context(), to).CombinedOutput()
	if err == nil || err.Error() != "exit status 1" {
		t.Errorf("%v, want exit code 1", err)
	}
	failed, told := 0, 0
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "failed ") {
			failed++
		}
		if !strings.HasPrefix(line, "berth: ") {
			continue
		}
		if !strings.Contains(line, "no space left on device") {
			t.Errorf("%q", line)
		}
		told++
		if m := andMore.FindStringSubmatch(line); m != nil {
			more, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			told += more
		}
	}
	// One more may be about index.json.
	if failed == 0 || told < failed || told > failed+1 {
		t.Errorf("%d failed images, and lines that say why of %d:\n%s", failed, told, out)
	}
}

var andMore = regexp.MustCompile(`^berth: \S+ and (\d+) more: `)

// docker-registry refuses an index with missing parts, and accepts a reduced one.
func TestPlatforms(t *testing.T) {
	b := prepare(t, 8)
	target, err := real.Start(t.Context(), b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	run := func(to string, flags ...string) (string, error) {
		cmd := b.Command(t.Context(), to)
		cmd.Args = append(cmd.Args, flags...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	part := "oci:" + filepath.Join(b.Dir, "part")
	if out, err := run(part, "--platform", "linux/amd64"); err != nil || !strings.Contains(out, "without linux/arm64") {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := run(target.Addr(), "--from", part)
	if err == nil || !strings.Contains(out, "this registry requires every platform of an index; add --reduce-index") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run(target.Addr(), "--from", part, "--reduce-index"); err != nil || !strings.Contains(out, "index reduced") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run(target.Addr(), "--from", part, "--reduce-index"); err != nil || !strings.Contains(out, "0 images copied, 8 there already") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A directory on a full disk: it holds no file that looks complete and is not, and with more space
// the next run completes it.
func TestFullDisk(t *testing.T) {
	b := prepare(t, 6)
	disk, grow := smallDisk(t)
	dir := filepath.Join(disk, "layout")
	wantNoSpace(t, b, "oci:"+dir)
	left, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/.partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, left: %q", err, left)
	}
	grow()
	if out, err := b.Command(t.Context(), "oci:"+dir).CombinedOutput(); err != nil {
		t.Errorf("with room enough: %v\n%s", err, out)
	}
	different, err := b.Unload(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range different {
		t.Error(d)
	}
}

// A registry on a full disk. docker-registry leaves empty files in its store and then answers 500
// to each request for them; with more space the next run completes the copy in spite of that.
func TestFullRegistry(t *testing.T) {
	b := prepareWith(t, sample.Options{Seed: 1, Images: 2, MinLayer: 100, MaxLayer: 512 << 10})
	disk, grow := smallDisk(t)
	target, err := real.Open(t.Context(), disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	wantNoSpace(t, b, target.Addr())
	grow()
	if out, err := b.Command(t.Context(), target.Addr()).CombinedOutput(); err != nil {
		t.Errorf("with room enough: %v\n%s", err, out)
	}
	different, err := target.Differences(t.Context(), b.Set)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range different {
		t.Error(d)
	}
}
