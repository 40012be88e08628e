// Command make writes the fixtures of test/upgrade: nodes as the programs of a version of Berth
// leave them. make.sh builds that version and runs it.
//
//	go run ./test/upgrade/make -programs DIR -out test/upgrade/testdata
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/upgrade/livemirror"
)

func main() {
	programs := flag.String("programs", "", "directory with the programs")
	out := flag.String("out", "", "directory for the fixtures")
	flag.Parse()
	if err := run(*programs, *out); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(programs, out string) error {
	programs, err := filepath.Abs(programs)
	if err != nil {
		return err
	}
	for _, f := range []func(m maker) error{maker.applied, maker.agent, maker.installed} {
		work, err := os.MkdirTemp("", "upgrade-")
		if err != nil {
			return err
		}
		err = f(maker{programs: programs, out: out, root: work})
		if err := errors.Join(err, os.RemoveAll(work)); err != nil {
			return err
		}
	}
	return nil
}

// maker makes one node below root.
type maker struct {
	programs, out, root string
	env                 []string
}

func (m maker) write(path, content string, mode fs.FileMode) error {
	name := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

func (m maker) appendTo(path, text string) error {
	f, err := os.OpenFile(filepath.Join(m.root, path), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// berth runs a verb on the node and checks its exit code.
func (m maker) berth(code int, args ...string) error {
	cmd := exec.Command(filepath.Join(m.programs, "berth"), append(args, "--root", m.root)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.root}, m.env...)
	cmd.Dir = m.workDir()
	text, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("berth %v: exit code %d, want %d: %w\n%s", args, got, code, err, text)
	}
	return nil
}

// workDir is the base of relative paths in the config, in old versions.
func (m maker) workDir() string { return filepath.Join(m.root, "etc") }

// applied makes a node with files of berth apply: adopted, edited and saved ones, certificates, and
// tokens.
func (m maker) applied() error {
	aws, err := fakeaws.Start()
	if err != nil {
		return err
	}
	defer aws.Close()
	aws.SetRole("node", fakeaws.Key{ID: "ASIAROLEROLEROLEROLE", Secret: "rolesecret", Session: "rolesession"})
	aws.SetPassword(func(service fakeaws.Point, region string) string {
		return region + "." + hex.EncodeToString([]byte(service))
	})
	m.env = aws.Env()
	const certs = "/etc/containerd/certs.d/"
	err = errors.Join(
		m.write("/etc/berth/config.yaml", appliedConfig, 0o600),
		m.write("/etc/berth/ca.pem", certificate, 0o644),
		m.write(certs+"quay.io/hosts.toml", "# by hand\nserver = \"https://quay.corp\"\n", 0o640),
		m.write(certs+"reg.corp:5000/hosts.toml", "server = \"https://reg.corp:5000\"\n\n[host.\"https://theirs.corp\"]\n", 0o600),
		m.write(certs+"other.corp/hosts.toml", "server = \"https://other.corp\"\n", 0o644),
		m.pack("applied-before.tar"),
		m.berth(0, "apply"),
		m.appendTo(certs+"docker.io/hosts.toml", "# edited\n"),
		m.berth(0, "apply"),
	)
	return errors.Join(err, m.pack("applied.tar"))
}

const appliedConfig = `apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- upstream: docker.io
  endpoints:
  - url: https://111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub
  - url: https://mirror.corp
- upstream: quay.io
  upstreamFallback: false
  endpoints:
  - url: https://harbor.corp/quay
- upstream: reg.corp:5000
  endpoints:
  - url: https://mirror.corp
registries:
- host: mirror.corp
  username: robot
  password: dummy-password
  tls: {caFile: berth/ca.pem}
- host: plain.corp/team
  username: team
  password: dummy-team
- host: tokens.corp
  username: robot
  password: dummy-token
  auth: token
containerd: {onConflict: adopt}
`

// agent makes a node on which an agent ran: a mirror that does not answer is withdrawn, the agent
// has found out which login another mirror accepts, and the config has become invalid.
func (m maker) agent() error {
	registry, err := livemirror.Start()
	if err != nil {
		return err
	}
	defer registry.Close()
	m.env = []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"}
	config := strings.ReplaceAll(agentConfig, "REGISTRY", livemirror.Address)
	// First an agent that probes often; then one that does not probe for an hour.
	for _, health := range []string{"{interval: 2s, timeout: 1s, failures: 1}", "{interval: 1h, failures: 100}"} {
		text := config + "health: " + health + "\n"
		if err := m.write("/etc/berth/config.yaml", text, 0o600); err != nil {
			return err
		}
		if err := m.agentUntil(func() bool {
			return m.holds("health.json", `"up": false`) && m.holds("learned.json", `"basic": "accepted"`) && m.holds("last-good.json", "") &&
				!m.hosts("127.0.0.1:1\"")
		}); err != nil {
			return err
		}
	}
	return errors.Join(
		m.write("/etc/berth/config.yaml", "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nmirrors: wrong\n", 0o600),
		m.pack("agent.tar"))
}

const agentConfig = `apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- upstream: upstream.invalid
  endpoints:
  - url: http://127.0.0.1:1
  - url: http://REGISTRY
registries:
- host: REGISTRY
  username: robot
  password: dummy-password
`

func (m maker) holds(name, text string) bool {
	b, err := os.ReadFile(filepath.Join(m.root, "var/lib/berth", name))
	return err == nil && strings.Contains(string(b), text)
}

// hosts reports whether the mirror's hosts.toml names an address.
func (m maker) hosts(address string) bool {
	b, err := os.ReadFile(filepath.Join(m.root, "etc/containerd/certs.d/upstream.invalid/hosts.toml"))
	return err != nil || strings.Contains(string(b), address)
}

// agentUntil runs the agent until done returns true, and stops it.
func (m maker) agentUntil(done func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(m.programs, "berth"), "agent", "--root", m.root, "--listen", "")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.root}, m.env...)
	var log bytes.Buffer
	cmd.Dir, cmd.Stderr = m.workDir(), &log
	if err := cmd.Start(); err != nil {
		return err
	}
	// Before the agent has read the config, the files are still those of the last agent.
	for range 20 {
		time.Sleep(100 * time.Millisecond)
	}
	for !done() && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	reached := done()
	err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	if !reached {
		return fmt.Errorf("the agent did not come to where it should: %w\n%s", err, log.String())
	}
	return err
}

// installed makes a node after berth install, with its record.
func (m maker) installed() error {
	err := errors.Join(
		m.write("/etc/containerd/config.toml", "version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  configs.\"registry.corp\".auth.password = \"dummy-password\"\n", 0o640),
		m.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n", 0o644),
		m.write("/usr/bin/berth-credential-provider", "#!/bin/sh\n", 0o755),
		m.pack("installed-before.tar"),
		m.berth(0, "install", "--yes", "--provider", filepath.Join(m.root, "usr/bin/berth-credential-provider")))
	return errors.Join(err, m.pack("installed.tar"))
}

// certificate is a CA without issued certificates.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBAjCBtaADAgECAgEBMAUGAytlcDAQMQ4wDAYDVQQDEwV0cmlhbDAgFw03MDAx
MDEwMDAwMDBaGA8yMjQyMDMxNjEyNTYzMlowEDEOMAwGA1UEAxMFdHJpYWwwKjAF
BgMrZXADIQCKiOPddAnxlf1S2y08ul1yymcJvx2UEhvzdIgBtA9vXKMyMDAwDwYD
VR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUNHUPmL1Z/PyUbaRaqr6TO+FUpLUwBQYD
K2VwA0EAFwlv0DTqklFzKEcVoHDSyZuEbXFH0uVIZKWO92YQoPybkREWTm+hyE6l
7z/aQ2TSDRoCNTgHfGRcKrlXkKB5Ag==
-----END CERTIFICATE-----
`

// pack writes the node into an archive: modes, times of files, symlinks. The owner is the user who
// extracts it.
func (m maker) pack(name string) (err error) {
	f, err := os.Create(filepath.Join(m.out, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == m.root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		h.Name, h.Uid, h.Gid, h.Uname, h.Gname = strings.TrimPrefix(path, m.root+"/"), 0, 0, "", ""
		h.Format, h.AccessTime, h.ChangeTime = tar.FormatPAX, time.Time{}, time.Time{}
		if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close())
}
