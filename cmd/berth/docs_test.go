package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/walkthrough"
)

// blocks returns the fenced blocks of a page by language, in order.
func blocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, b := range walkthrough.Blocks(string(text)) {
		found[b.Info] = append(found[b.Info], b.Text)
	}
	return found
}

// The example of the README works: its commands make its hosts.toml from its config.
func TestREADME(t *testing.T) {
	page, err := filepath.Abs("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	b := blocks(t, page)
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"config.yaml": b["yaml"][0], "harbor-password": "open sesame\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	for _, block := range b["sh"] {
		for line := range strings.Lines(block) {
			words := strings.Fields(strings.Split(line, "#")[0])
			if len(words) == 0 || words[0] != "berth" {
				t.Fatalf("no command of berth: %q", line)
			}
			want := map[string]int{"plan": 1}[words[1]]
			var stdout, stderr bytes.Buffer
			if got := run(words[1:], strings.NewReader(""), &stdout, &stderr); got != want {
				t.Fatalf("%s: exit code %d\n%s%s", line, got, &stdout, &stderr)
			}
			ran++
			if words[1] == "apply" {
				checkWritten(t, "try/etc/containerd/certs.d/docker.io/hosts.toml", b["toml"][0])
			}
		}
	}
	if ran != 3 {
		t.Errorf("%d commands ran, want 3", ran)
	}
	if _, err := os.Stat("try/etc"); !os.IsNotExist(err) {
		t.Errorf("restore left something: %v", err)
	}
}

func checkWritten(t *testing.T, file, want string) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(got), "\n")
	if body != want {
		t.Errorf("the README shows\n%s\nwritten was\n%s", want, body)
	}
}
