// Command demo shows the main job of Berth from end to end on this machine: it starts two
// registries, writes a RegistryConfig, runs berth plan and apply with a scratch root, and pulls
// images through containerd's own resolver with the resulting files. It needs no root and no
// daemon, and refuses every connection that would leave the machine.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed config.yaml
var configTemplate string

func main() {
	berth := flag.String("berth", "berth", "the berth command")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout, *berth); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// story prints the steps, and remembers the first write error.
type story struct {
	w   io.Writer
	err error
}

func (s *story) say(format string, args ...any) {
	if _, err := fmt.Fprintf(s.w, format+"\n", args...); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *story) indented(text string) {
	for line := range strings.Lines(text) {
		s.say("    %s", strings.TrimSuffix(line, "\n"))
	}
}

// run prints the story to w. It fails if any result differs from the story.
func run(ctx context.Context, w io.Writer, berth string) error {
	scratch, err := os.MkdirTemp("", "berth-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	s := &story{w: w}
	regs, err := startRegistries()
	if err != nil {
		return err
	}
	defer regs.close()

	s.say("1. On this machine: a mirror of Docker Hub at %s, a private registry with a login at %s,", regs.mirror.addr, regs.private.addr)
	s.say("   and at %s a mirror that has died. The file you write:\n", regs.dead)
	config, err := writeConfig(scratch, regs)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	s.indented(string(text))

	root := filepath.Join(scratch, "root")
	for i, verb := range []string{"plan", "apply"} {
		s.say("\n%d. berth %s -c config.yaml --root root\n", i+2, verb)
		out, err := command(ctx, berth, verb, "-c", config, "--root", root)
		s.indented(out)
		if err != nil && !(verb == "plan" && exitCode(err) == 1) {
			return fmt.Errorf("berth %s: %w", verb, err)
		}
	}

	s.say("\n4. Pulls, by containerd's own resolver with these files:")
	p := newPuller(filepath.Join(root, "etc/containerd/certs.d"))
	byTag := "docker.io/library/hello:1.0"
	for _, c := range []struct{ image, served string }{
		{byTag, regs.mirror.addr},
		{"docker.io/library/hello@" + regs.digest, regs.mirror.addr},
		{"quay.io/team/tool:2.0", regs.private.addr},
	} {
		if err := p.tell(ctx, s, c.image, c.served); err != nil {
			return fmt.Errorf("%s: %w", c.image, err)
		}
	}

	s.say("\n5. berth restore --root root\n")
	out, err := command(ctx, berth, "restore", "--root", root)
	s.indented(out)
	if err != nil {
		return fmt.Errorf("berth restore: %w", err)
	}
	left, err := filesBelow(root)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	s.say("\nNothing is left of it, and nothing went beyond this machine.")
	return s.err
}

func writeConfig(scratch string, regs *registries) (string, error) {
	password := filepath.Join(scratch, "password")
	if err := os.WriteFile(password, []byte(demoPassword+"\n"), 0o600); err != nil {
		return "", err
	}
	t, err := template.New("config.yaml").Parse(configTemplate)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{
		"Dead": regs.dead, "Mirror": regs.mirror.addr, "Private": regs.private.addr, "PasswordFile": password,
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(scratch, "config.yaml")
	return file, os.WriteFile(file, b.Bytes(), 0o600)
}

func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

// filesBelow returns the files below root, without the locks of running commands.
func filesBelow(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, "/run/berth/") {
			files = append(files, path)
		}
		return err
	})
	return files, err
}
