package main

import (
	"bytes"
	"strings"
	"testing"
)

// The commands of the page, and those of the help, work as they are written.
// There is no Internet, so each image has a verdict and no host.
func TestTracePage(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	var commands []string
	for _, block := range blocks(t, "../../docs/trace.md")["sh"] {
		commands = append(commands, strings.Split(strings.TrimSpace(block), "\n")...)
	}
	page := len(commands)
	for line := range strings.Lines(newTrace(&options{}).Example) {
		line, _, _ = strings.Cut(line, "#")
		commands = append(commands, strings.TrimSpace(line))
	}
	if page < 2 || len(commands) < page+2 {
		t.Fatalf("only %q", commands)
	}
	for _, command := range commands {
		words := strings.Fields(command)
		if words[0] != "berth" || words[1] != "trace" {
			t.Fatalf("no command of berth trace: %q", command)
		}
		args := append([]string(nil), words[1:]...)
		if !strings.Contains(command, "--root") {
			args = append(args, "--root", t.TempDir())
		} else {
			args = []string{"trace", "--root", t.TempDir(), "--proc", t.TempDir(), words[len(words)-1]}
		}
		var stdout, stderr bytes.Buffer
		if code := run(args, strings.NewReader(""), &stdout, &stderr); code != exitFailed || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s%s", command, code, &stdout, &stderr)
		}
		if !strings.Contains(stdout.String(), "the proxy cannot be reached") {
			t.Errorf("%s: no verdict:\n%s", command, &stdout)
		}
	}
}
