package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// cell is one program in one version with one kind of test.
type cell struct {
	name  string   // PROGRAM-VERSION/KIND
	env   []string // of all its commands
	build []string // commands in bash that build what it runs; they count as no time
	run   string   // the command in bash; its exit code is the result
	needs []string // programs of Debian
	alone bool     // it runs beside no other cell of which this is true
}

// version is the version of the program.
func (c cell) version() string {
	program, _, _ := strings.Cut(c.name, "/")
	_, version, _ := strings.Cut(program, "-")
	return version
}

func (c cell) logFile() string {
	return filepath.Join(logDir, strings.ReplaceAll(c.name, "/", "_")+".log")
}

// The versions, oldest first. test/e2e/parts, test/docker/parts.sh and test/kubelet/parts.sh build
// them.
var (
	containerds = []string{"1.6.20", "1.7.28", "2.0.14", "2.1.9", "2.2.9", "2.3.7", "2.4.2"}
	engines     = []string{"2.0.0-beta.24"}
	kubelets    = []string{"1.29.6", "1.32.2", "1.34.4", "1.36.3"}
)

// cells returns all cells, in the order in which they run.
func cells() []cell {
	var all []cell
	for _, version := range containerds {
		all = append(all, containerdCells(version)...)
	}
	for _, version := range engines {
		all = append(all, dockerCells(version)...)
	}
	for _, version := range kubelets {
		all = append(all, kubeletCells(version)...)
	}
	for _, kind := range []string{"programs", "deb", "rpm"} {
		all = append(all, arm64Cell(kind))
	}
	all = append(all, suiteCell("debian-12/packages", "systemd"), suiteCell("kubernetes-1.36.3/cluster", "cluster"))
	return all
}

// goTest is the command that runs tests; it prints the name of each.
const goTest = "go test -count=1 -timeout=60m -v "

// programs are the variables that name the programs that "make build" made.
func programs() []string {
	dir, _ := filepath.Abs("bin")
	return []string{
		"BERTH_BIN=" + filepath.Join(dir, "berth"), "BERTH_PROVIDER_BIN=" + filepath.Join(dir, "berth-credential-provider"),
		// No test may reach the metadata service of the machine that it runs on.
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1",
	}
}

func containerdCells(version string) []cell {
	tests := func(pattern string) string { return "cd test/e2e && " + goTest + ". -run '^(" + pattern + ")$'" }
	const pulls = "TestFacts|TestBerth|TestImages.*|TestAirGap"
	installs := "TestInstall"
	switch version {
	case "1.6.20", "1.7.28", "2.4.2": // the corpus has no verdicts for the others
		installs += "|TestCorpus|TestControl|TestPorts"
	}
	var all []cell
	for _, kind := range []struct{ name, run string }{
		{"pulls", tests(pulls)},
		{"credentials", tests("TestLoginForms|TestTokenServers|TestCredentialHelper|TestTracePullSecrets")},
		{"foreign-files", "cd test/e2e && go run ./cmd/foreignforms"},
		{"agent", tests("TestAgent.*")},
		{"install", "cd test/e2e && " + goTest + "./nodeconfig -run '^(" + installs + ")$'"},
		{"trace", tests("TestTrace|TestTraceConfigPath|TestTraceBlackHole")},
	} {
		all = append(all, cell{
			name: "containerd-" + version + "/" + kind.name, run: kind.run,
			env:   append(programs(), "BERTH_RELEASES="+version),
			build: []string{"cd test/e2e && go run ./cmd/parts"},
			needs: []string{"containerd", "runc", "docker-registry", "ip"},
		})
	}
	return all
}

func dockerCells(version string) []cell {
	c := cell{
		env: programs(), build: []string{"test/e2e/parts.sh", "test/docker/parts.sh"},
		needs: []string{"/usr/bin/docker", "containerd", "runc", "docker-registry"},
	}
	pulls, leaks := c, c
	pulls.name = "docker-" + version + "/pulls"
	pulls.run = goTest + "-tags e2e ./test/docker -skip '^TestLeaks$'"
	leaks.name = "docker-" + version + "/leaks"
	leaks.run = goTest + "-tags e2e ./test/docker -run '^TestLeaks$' -args -nodes 500"
	return []cell{pulls, leaks}
}

func kubeletCells(version string) []cell {
	c := cell{
		env:   append(programs(), "BERTH_KUBELET="+version),
		needs: []string{"containerd", "runc", "docker-registry"}, alone: true,
	}
	provider, plugin := c, c
	provider.name = "kubelet-" + version + "/provider"
	provider.build = []string{"test/e2e/parts.sh", "test/kubelet/parts.sh kubelet"}
	tests := "TestPods|TestConfigJSON"
	if version == "1.36.3" { // earlier ones do not verify pulled images by default
		tests += "|TestPulledImageIsForEveryPod|TestPreloadedImage|TestImageGarbageCollection"
	}
	provider.run = "cd test/kubelet && " + goTest + ". -run '^(" + tests + ")$'"
	plugin.name = "kubelet-" + version + "/plugin-code"
	plugin.build = []string{"test/kubelet/parts.sh keyring"}
	plugin.run = "cd test/kubelet && " + goTest + ". -run '^(TestKeyring.*|TestLogins.*|TestPatternsAreNeeded|TestOneConfiguration)$'"
	return []cell{provider, plugin}
}

// arm64Cell runs the programs for arm64: those that are built, or those of a package.
func arm64Cell(kind string) cell {
	return cell{
		name: "arm64/" + kind, env: programs(),
		run:   goTest + "-tags e2e ./test/arm64 -run '^TestPrograms$/^" + kind + "$'",
		needs: []string{"qemu-aarch64-static", "dpkg-deb", "rpm2cpio", "cpio"},
	}
}

// suiteCell runs an end-to-end suite, which itself says what it needs.
func suiteCell(name, suite string) cell {
	return cell{name: name, env: append(programs(), "GOTESTFLAGS=-v"), run: "test/e2e.sh " + suite, alone: true}
}

// packages are the Debian packages of programs whose name is another one.
var packages = map[string]string{"/usr/bin/docker": "docker.io", "ip": "iproute2", "qemu-aarch64-static": "qemu-user-static", "rpm2cpio": "rpm", "dpkg-deb": "dpkg"}

// prerequisites reports what is missing on this machine.
func prerequisites(due []cell) error {
	var missing []string
	for _, c := range due {
		for _, program := range c.needs {
			if _, err := exec.LookPath(program); err != nil {
				name := program
				if p, ok := packages[program]; ok {
					name = p
				}
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		return fmt.Errorf("missing Debian packages; run: apt-get install -y --no-install-recommends %s", strings.Join(missing, " "))
	}
	if len(due) > 0 && os.Geteuid() != 0 {
		return errors.New(`not root; run: sudo env PATH="$PATH" make matrix`)
	}
	return nil
}
