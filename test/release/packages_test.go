//go:build e2e

package release

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// contents returns the files of both formats, with their modes; completions for zsh and the license
// have different paths in each.
func contents(more ...string) []string {
	all := []string{
		"-rw------- /etc/berth/config.yaml",
		"-rwxr-xr-x /usr/bin/berth",
		"-rwxr-xr-x /usr/bin/berth-credential-provider",
		"-rwxr-xr-x /usr/bin/berth-ecr-token",
		"-rwxr-xr-x /usr/bin/docker-credential-berth",
		"-rw-r--r-- /usr/lib/systemd/system/berth-images-load.service",
		"-rw-r--r-- /usr/lib/systemd/system/berth-images.service",
		"-rw-r--r-- /usr/lib/systemd/system/berth.service",
		"-rw-r--r-- /usr/share/bash-completion/completions/berth",
		"-rw-r--r-- /usr/share/berth/schema.json",
		"-rw-r--r-- /usr/share/fish/vendor_completions.d/berth.fish",
		"drwx------ /etc/berth/secrets",
		"drwxr-xr-x /etc/berth",
		"drwxr-xr-x /etc/containerd",
	}
	all = append(all, more...)
	slices.Sort(all)
	return all
}

func TestPackages(t *testing.T) {
	dir := t.TempDir()
	made := build(t, dir, "v1.2.3-rc.1", "amd64 arm64", "deb rpm")
	if len(made) != 4 {
		t.Fatalf("made: %q", made)
	}
	for _, arch := range []struct {
		deb, rpm string
		machine  elf.Machine
	}{{"amd64", "x86_64", elf.EM_X86_64}, {"arm64", "aarch64", elf.EM_AARCH64}} {
		t.Run("deb "+arch.deb, func(t *testing.T) {
			file := filepath.Join(dir, "berth_1.2.3~rc.1-1_"+arch.deb+".deb")
			equal(t, "fields", run(t, "dpkg-deb", "--field", file, "Package", "Version", "Architecture"),
				"Package: berth\nVersion: 1.2.3~rc.1-1\nArchitecture: "+arch.deb)
			if depends := run(t, "dpkg-deb", "--field", file, "Depends"); depends != "" {
				t.Errorf("it depends on %s", depends)
			}
			control := t.TempDir()
			run(t, "dpkg-deb", "--control", file, control)
			equal(t, "conffiles", read(t, control+"/conffiles"), "/etc/berth/config.yaml")
			for _, script := range []string{"postinst", "prerm", "postrm"} {
				run(t, "sh", "-n", filepath.Join(control, script))
			}
			tree := t.TempDir()
			run(t, "dpkg-deb", "--extract", file, tree)
			if arch.deb == "amd64" { // the architecture of this machine
				for _, name := range []string{"berth-credential-provider", "berth-ecr-token", "docker-credential-berth"} {
					equal(t, "the version", run(t, filepath.Join(tree, "usr/bin", name), "--version"), name+" v1.2.3-rc.1")
				}
				if version := run(t, filepath.Join(tree, "usr/bin/berth"), "version"); !strings.HasPrefix(version, "berth v1.2.3-rc.1 ") {
					t.Errorf("berth says it is %q", version)
				}
			}
			var list []string
			for line := range strings.Lines(run(t, "dpkg-deb", "--contents", file)) {
				f := strings.Fields(line)
				if f[1] != "root/root" {
					t.Errorf("%s does not belong to root", line)
				}
				list = append(list, f[0]+" "+strings.TrimSuffix(f[5][1:], "/"))
			}
			checkContents(t, list, "-rw-r--r-- /usr/share/doc/berth/copyright", "-rw-r--r-- /usr/share/zsh/vendor-completions/_berth")
			checkPrograms(t, tree, arch.machine)
		})
		t.Run("rpm "+arch.rpm, func(t *testing.T) {
			file := filepath.Join(dir, "berth-1.2.3~rc.1-1."+arch.rpm+".rpm")
			query := func(format string) string { return run(t, "rpm", "-qp", "--qf", format, file) }
			equal(t, "fields", query("%{NAME} %{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}"), "berth 1.2.3~rc.1-1 "+arch.rpm+" Apache-2.0")
			equal(t, "config files", run(t, "rpm", "-qp", "--configfiles", file), "/etc/berth/config.yaml")
			// 16: not replaced when it was edited; see rpm's RPMFILE_NOREPLACE.
			if flags := query("[%{FILENAMES} %{FILEFLAGS}\n]"); !strings.Contains(flags, "/etc/berth/config.yaml 17\n") {
				t.Errorf("config.yaml is no config(noreplace):\n%s", flags)
			}
			for _, tag := range []string{"POSTIN", "PREUN", "POSTUN"} {
				script := filepath.Join(t.TempDir(), tag)
				if err := os.WriteFile(script, []byte(query("%{"+tag+"}")), 0o600); err != nil {
					t.Fatal(err)
				}
				run(t, "sh", "-n", script)
				if want := map[string]string{"POSTIN": "preset", "PREUN": "berth restore", "POSTUN": "try-restart"}[tag]; !strings.Contains(read(t, script), want) {
					t.Errorf("%s does not %q", tag, want)
				}
			}
			var list []string
			for line := range strings.Lines(query("[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]")) {
				f := strings.Fields(line)
				if f[1] != "root/root" {
					t.Errorf("%s does not belong to root", line)
				}
				list = append(list, f[0]+" "+f[2])
			}
			checkContents(t, list, "-rw-r--r-- /usr/share/licenses/berth/LICENSE", "-rw-r--r-- /usr/share/zsh/site-functions/_berth")
			tree := t.TempDir()
			run(t, "sh", "-c", "rpm2cpio "+file+" | (cd "+tree+" && cpio --quiet --no-absolute-filenames -idm)")
			checkPrograms(t, tree, arch.machine)
		})
	}
}

// The same sources give the same packages; another version gives other packages.
func TestPackagesAreReproducible(t *testing.T) {
	a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
	for i, first := range build(t, a, "v1.0.0", "amd64", "deb rpm") {
		name := filepath.Base(first)
		if i == 0 {
			build(t, b, "v1.0.0", "amd64", "deb rpm")
			build(t, c, "v1.0.1", "amd64", "deb rpm")
		}
		if !bytes.Equal([]byte(read(t, first)), []byte(read(t, filepath.Join(b, name)))) {
			t.Errorf("%s is another one the second time", name)
		}
		if other := strings.ReplaceAll(name, "1.0.0", "1.0.1"); read(t, first) == read(t, filepath.Join(c, other)) {
			t.Errorf("%s and %s are the same", name, other)
		}
	}
}

// Versions sort in the order in which they were released.
func TestVersions(t *testing.T) {
	versions := []struct{ git, want string }{
		{"1a2b3c4", "0.0.0~git20260102030405.1a2b3c4"},
		{"1a2b3c4-dirty", "0.0.0~git20260102030405.1a2b3c4.dirty"},
		{"v1.0.0-rc.1", "1.0.0~rc.1"},
		{"v1.0.0-rc.1-7-g1a2b3c4", "1.0.0~rc.1+7.g1a2b3c4"},
		{"v1.0.0-rc.2", "1.0.0~rc.2"},
		{"v1.0.0", "1.0.0"},
		{"v1.0.0-3-g1a2b3c4", "1.0.0+3.g1a2b3c4"},
		{"v1.0.0-12-g1a2b3c4-dirty", "1.0.0+12.g1a2b3c4+dirty"},
		{"v1.0.1", "1.0.1"},
	}
	for i, v := range versions {
		cmd := exec.Command("bash", "-euc", ". ./version.sh; package_version")
		cmd.Env = append(os.Environ(), "VERSION="+v.git, "SOURCE_DATE_EPOCH=1767323045")
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != v.want {
			t.Errorf("%s: %v: %s, not %s", v.git, err, got, v.want)
		}
		if i > 0 {
			run(t, "dpkg", "--compare-versions", versions[i-1].want, "lt", v.want)
		}
	}
}

// build makes packages and returns their paths.
func build(t *testing.T, dir, version, arches, formats string) []string {
	t.Helper()
	cmd := exec.Command("./package.sh", "-o", dir, "-a", arches, "-f", formats)
	cmd.Env = append(os.Environ(), "VERSION="+version)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("package.sh: %v", err)
	}
	return strings.Fields(string(out))
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwanted:\n%s", what, got, want)
	}
}

// checkContents compares a list of files. Directories count only if they belong to no other
// package.
func checkContents(t *testing.T, list []string, more ...string) {
	t.Helper()
	want := contents(more...)
	list = withoutManPages(t, list)
	list = slices.DeleteFunc(list, func(line string) bool {
		return strings.HasPrefix(line, "d") && !slices.Contains(want, line) && !strings.Contains(line, "/etc/")
	})
	slices.Sort(list)
	equal(t, "contents", strings.Join(list, "\n"), strings.Join(want, "\n"))
}

// withoutManPages removes the man pages from a list of files, which must have one for each program.
func withoutManPages(t *testing.T, list []string) []string {
	t.Helper()
	const prefix = "-rw-r--r-- /usr/share/man/man1/"
	for _, page := range []string{"berth", "berth-images-copy", "berth-credential-provider", "berth-ecr-token", "docker-credential-berth"} {
		if !slices.Contains(list, prefix+page+".1.gz") {
			t.Errorf("there is no man page %s", page)
		}
	}
	return slices.DeleteFunc(list, func(line string) bool {
		return strings.HasPrefix(line, prefix+"berth") || line == prefix+"docker-credential-berth.1.gz"
	})
}

// checkPrograms: the programs are static and for the architecture, and the unit is ours.
func checkPrograms(t *testing.T, tree string, machine elf.Machine) {
	t.Helper()
	for _, name := range []string{"berth", "berth-credential-provider", "berth-ecr-token", "docker-credential-berth"} {
		f, err := elf.Open(filepath.Join(tree, "usr/bin", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s is for %v", name, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s is not static", name)
			}
		}
	}
	equal(t, "the unit", read(t, filepath.Join(tree, "usr/lib/systemd/system/berth.service")), read(t, "../../manifests/systemd/berth.service"))
}
