package watch

import (
	"os"
	"testing"
	"time"
)

func TestFileWrittenInPlace(t *testing.T) {
	r := newReader(t, Options{}, []string{"etc/config.yaml"}, nil)
	r.does(func() { r.mkdir("etc") })
	r.does(func() { r.write("etc/config.yaml", "1") })
	r.does(func() { r.write("etc/config.yaml", "22") })
	r.does(func() { r.must(os.Truncate(r.path("etc/config.yaml"), 0)) })
	r.does(func() { r.must(os.Chmod(r.path("etc/config.yaml"), 0o600)) })
	r.does(func() { r.must(os.Remove(r.path("etc/config.yaml"))) })
	r.does(func() { r.write("etc/config.yaml", "3") })
}

func TestFileReplacedByRename(t *testing.T) {
	r := newReader(t, Options{}, []string{"etc/config.yaml"}, nil)
	r.mkdir("etc")
	for _, content := range []string{"1", "2", "3"} {
		r.does(func() {
			r.write("etc/config.yaml.new", content)
			r.rename("etc/config.yaml.new", "etc/config.yaml")
		})
	}
}

func TestDirectoriesOnTheWayThatComeLater(t *testing.T) {
	r := newReader(t, Options{}, []string{"a/b/c/d/config.yaml"}, nil)
	for range 20 {
		r.does(func() {
			r.mkdir("a/b/c/d")
			r.write("a/b/c/d/config.yaml", "here")
		})
		r.does(func() { r.write("a/b/c/d/config.yaml", "changed") })
		r.does(func() { r.remove("a/b") })
		r.does(func() { r.mkdir("a/b"); r.mkdir("a/b/c/d"); r.write("a/b/c/d/config.yaml", "again") })
		r.does(func() { r.remove("a") })
	}
}

func TestDirectoryMovedAwayAndBack(t *testing.T) {
	r := newReader(t, Options{}, []string{"a/b/c/config.yaml"}, nil)
	r.does(func() { r.mkdir("a/b/c"); r.write("a/b/c/config.yaml", "1") })
	for _, dir := range []string{"a/b/c", "a/b", "a"} {
		r.does(func() { r.rename(dir, "aside") })
		r.does(func() { r.rename("aside", dir) })
		r.does(func() { r.write("a/b/c/config.yaml", dir) })
		r.does(func() {
			r.rename(dir, "aside")
			r.rename("aside", dir)
			r.write("a/b/c/config.yaml", "after "+dir)
		})
		r.does(func() { r.write("a/b/c/config.yaml", "and again "+dir) })
	}
}

// Changes in a directory that was moved away do not wake.
func TestDirectoryReplacedByAnother(t *testing.T) {
	r := newReader(t, Options{}, []string{"a/config.yaml"}, nil)
	r.does(func() { r.mkdir("a"); r.write("a/config.yaml", "1") })
	r.mkdir("other")
	r.write("other/config.yaml", "2")
	r.does(func() { r.rename("a", "old"); r.rename("other", "a") })
	r.does(func() { r.write("a/config.yaml", "3") })
	r.settle()
	before := r.wakes.Load()
	for range 50 {
		r.write("old/config.yaml", "late")
	}
	r.settle()
	if n := r.wakes.Load() - before; n > 2 {
		t.Errorf("%d wakes, but only the fence has changed", n)
	}
}

// swapVolume updates a volume as kubelet does; see AtomicWriter in kubernetes' pkg/volume/util.
func (r *reader) swapVolume(volume, stamp string, files map[string]string) {
	r.t.Helper()
	old, _ := os.Readlink(r.path(volume + "/..data"))
	r.mkdir(volume + "/" + stamp)
	for name, content := range files {
		r.write(volume+"/"+stamp+"/"+name, content)
	}
	r.must(os.Chmod(r.path(volume+"/"+stamp), 0o755))
	r.symlink(stamp, volume+"/..data_tmp")
	r.rename(volume+"/..data_tmp", volume+"/..data")
	for name := range files {
		if err := os.Symlink("..data/"+name, r.path(volume+"/"+name)); err != nil && !os.IsExist(err) {
			r.t.Fatal(err)
		}
	}
	if old != "" {
		r.remove(volume + "/" + old)
	}
}

func TestConfigMapVolume(t *testing.T) {
	r := newReader(t, Options{}, []string{"etc/berth/config.yaml"}, nil)
	r.mkdir("etc/berth")
	stamp := []string{"..2026_01_02_03_04_05.1", "..2026_01_02_03_04_05.2"}
	for i, content := range []string{"1", "2", "3", "4"} {
		r.does(func() {
			r.swapVolume("etc/berth", stamp[i%2], map[string]string{"config.yaml": content, "other": "x"})
		})
	}
	// kubelet never does this, but a shell can.
	r.does(func() { r.write("etc/berth/..data/config.yaml", "edited in place") })
}

func TestLinksOnTheWay(t *testing.T) {
	r := newReader(t, Options{}, []string{"a/config.yaml"}, nil)
	r.mkdir("one")
	r.mkdir("two/deep")
	r.write("one/real", "1")
	r.write("two/deep/real", "2")
	r.symlink("one", "l1")
	r.symlink(r.path("l1"), "l2")
	r.mkdir("a")
	r.does(func() { r.symlink("../l2/real", "a/config.yaml") })
	r.does(func() { r.write("one/real", "11") })
	r.does(func() { r.remove("l1"); r.symlink("two/deep", "l1") })
	r.does(func() { r.write("two/deep/real", "22") })
	r.does(func() { r.remove("l2") })
	r.does(func() { r.symlink("one/../one", "l2") })
	r.does(func() { r.write("one/real", "12") })
	r.does(func() { r.symlink("l2", "new"); r.rename("new", "l2") }) // a loop of symlinks
	r.does(func() { r.remove("l2"); r.symlink("not/yet", "l2") })
	r.does(func() { r.mkdir("not/yet"); r.write("not/yet/real", "3") })
	r.does(func() { r.write("not/yet/real", "33") })
	r.does(func() { r.remove("a"); r.symlink("not/yet", "a") })
	r.does(func() { r.rename("not/yet/real", "a/config.yaml") })
	r.does(func() { r.write("a/config.yaml", "4") })
	r.does(func() { r.remove("not"); r.write("not", "a file on the way") })
}

// Other files in a directory that is watched for one name do not wake.
func TestOtherNamesDoNotWake(t *testing.T) {
	r := newReader(t, Options{}, []string{"etc/berth/config.yaml"}, nil)
	r.does(func() { r.mkdir("etc/berth"); r.write("etc/berth/config.yaml", "1") })
	r.settle()
	before := r.wakes.Load()
	for range 50 {
		r.write("etc/.passwd.swp", "x")
		r.write("etc/berth/.config.yaml.swp", "x")
		r.mkdir("etc/other/deep")
		r.remove("etc/other")
		r.remove("etc/.passwd.swp")
	}
	r.settle()
	if n := r.wakes.Load() - before; n > 2 {
		t.Errorf("%d wakes, but only the fence has changed", n)
	}
	r.does(func() { r.write("etc/berth/config.yaml", "2") }) // the control: it is not deaf
}

// A reader that calls Set in every run comes to rest.
func TestComesToRest(t *testing.T) {
	r := newReader(t, Options{}, []string{"a/config.yaml", "b/config.yaml"}, []string{"certs.d"})
	r.does(func() { r.mkdir("certs.d/docker.io"); r.write("certs.d/docker.io/hosts.toml", "x") })
	r.settle()
	before := r.wakes.Load()
	for range 10 {
		r.settle()
	}
	if n := r.wakes.Load() - before; n > 20 {
		t.Errorf("%d wakes for 10 changes of the fence", n)
	}
}

// A change between the caller's look and Set makes no event for a name in a directory that is
// already watched. Set must wake for a new name, although it adds no watch.
func TestSetWakesForNewNamesOnly(t *testing.T) {
	r := newReader(t, Options{}, []string{"one"}, nil)
	wakes := func(files ...string) int64 {
		r.settle()
		before := r.wakes.Load()
		r.retarget(files, nil)
		deadline := time.Now().Add(patience)
		if len(files) < 2 {
			deadline = time.Now().Add(100 * time.Millisecond) // no wake is expected
		}
		for r.wakes.Load() == before && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		return r.wakes.Load() - before
	}
	// A late wake, for an earlier change, may be counted here now and then, but not always.
	var fewer, none int64
	for range 5 {
		if wakes("one", "two") == 0 {
			t.Error("no wake for a new name")
		}
		fewer, none = wakes("one"), wakes("one")
		if fewer == 0 && none == 0 {
			return
		}
	}
	t.Errorf("%d wakes for one name less, %d for nothing new", fewer, none)
}
