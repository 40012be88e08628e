//go:build e2e

package watch

import (
	"testing"

	"golang.org/x/sys/unix"
)

// These tests mount file systems. Run them as root, with
//
//	go test -tags e2e ./agent/watch

func (r *reader) mount(source, at, kind string, flags uintptr) {
	r.t.Helper()
	if err := unix.Mount(source, r.path(at), kind, flags, ""); err != nil {
		r.t.Fatalf("mount %s (root is needed): %v", at, err)
	}
	r.t.Cleanup(func() { _ = unix.Unmount(r.path(at), unix.MNT_DETACH) })
}

// The same directory under two paths, as in a container that mounts the host's root and one of its
// directories: the kernel has one watch for both.
func TestBindMount(t *testing.T) {
	r := prepare(t, []string{"host/berth/config.yaml", "berth/deep/other"}, []string{"host/berth", "berth/certs.d"})
	r.mkdir("host/berth")
	r.mkdir("berth")
	r.mount(r.path("host/berth"), "berth", "", unix.MS_BIND)
	r.start(New(r.options(Options{})))
	r.settle()
	for range 5 {
		r.does(func() { r.write("berth/config.yaml", "1") })
		r.does(func() { r.write("host/berth/config.yaml", "22") })
		r.does(func() { r.mkdir("host/berth/deep"); r.write("host/berth/deep/other", "1") })
		r.does(func() { r.write("berth/deep/other", "22") })
		r.does(func() {
			r.mkdir("host/berth/certs.d/docker.io")
			r.write("host/berth/certs.d/docker.io/hosts.toml", "1")
		})
		r.does(func() { r.write("berth/certs.d/docker.io/hosts.toml", "22") })
		r.does(func() { r.rename("host/berth/deep", "host/berth/aside") })
		r.does(func() { r.rename("berth/aside", "berth/deep") })
		r.does(func() { r.write("host/berth/deep/other", "333") })
		// First one of the two is no longer a target, then the other.
		for _, files := range [][]string{{"host/berth/deep/other"}, {"berth/deep/other"}, {"host/berth/deep/other", "berth/deep/other"}} {
			r.retarget(files, nil)
			r.does(func() { r.write("berth/deep/other", files[0]) })
			r.does(func() { r.remove("berth/deep") })
			r.does(func() { r.mkdir("host/berth/deep"); r.write("berth/deep/other", "1") })
		}
		r.retarget([]string{"host/berth/config.yaml", "berth/deep/other"}, []string{"host/berth", "berth/certs.d"})
		r.current()
		r.does(func() { r.remove("berth/deep"); r.remove("host/berth/certs.d") })
	}
}

// Neither mount nor umount makes an event in the directory above. Retry finds both.
func TestMountedOver(t *testing.T) {
	r := newReader(t, Options{}, []string{"etc/config.yaml"}, []string{"certs.d"})
	retry := func() {
		t.Helper()
		r.w.(*Watcher).Retry()
		r.current()
	}
	r.mkdir("etc")
	r.does(func() { r.mkdir("certs.d/docker.io"); r.write("certs.d/docker.io/hosts.toml", "below") })
	for range 3 {
		r.settle()
		r.mount("tmpfs", "certs.d", "tmpfs", 0)
		r.mount("tmpfs", "etc", "tmpfs", 0)
		r.mkdir("certs.d/docker.io")
		r.write("etc/config.yaml", "1")
		retry()
		r.does(func() { r.write("certs.d/docker.io/hosts.toml", "above") })
		r.does(func() { r.write("etc/config.yaml", "2") })
		r.settle()
		r.must(unix.Unmount(r.path("certs.d"), 0))
		r.must(unix.Unmount(r.path("etc"), 0))
		retry()
		r.does(func() { r.write("certs.d/docker.io/hosts.toml", "below again") })
		r.does(func() { r.write("etc/config.yaml", "3") })
		r.remove("etc/config.yaml")
	}
}

// The storm, with one of its directories mounted at a second place.
func TestNothingIsMissedWithBindMount(t *testing.T) {
	for seed := range uint64(20) {
		r := prepare(t, append(stormFiles, "mirror/berth/config.yaml"), append(stormTrees, "mirror/berth"))
		r.mkdir("etc")
		r.mkdir("mirror")
		r.mount(r.path("etc"), "mirror", "", unix.MS_BIND)
		r.start(New(r.options(Options{})))
		r.settle()
		if missed := r.storm(100+seed, 60, patience); missed != "" {
			t.Fatal(missed)
		}
	}
}
