package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
)

// The demo prints the actual results, and fails if they are not as expected.
func TestRun(t *testing.T) {
	berth := filepath.Join(t.TempDir(), "berth")
	if err := gobuild.Programs(t.Context(), "../..", berth, "./cmd/berth"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), &out, berth); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"no answer, so the next one is asked", "GET /v2/hub/library/hello/blobs/", "every digest right", "Nothing is left"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if strings.Contains(out.String(), demoPassword) {
		t.Error("the story shows the password")
	}
	checkREADME(t, out.String())
}

// checkREADME compares the pull in the README with the story: its lines in their order, "…" for
// omitted lines.
func checkREADME(t *testing.T, story string) {
	t.Helper()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```text\n(docker.io/library/hello:1.0\n.*?)```").FindSubmatch(page)
	if shown == nil {
		t.Fatal("the README shows no pull")
	}
	_, pull, _ := strings.Cut(story, "4. Pulls")
	_, pull, _ = strings.Cut(pull, "\n\n")
	pull, _, _ = strings.Cut(pull, "\n\n")
	rest := plain(pull)
	for _, line := range plain(string(shown[1])) {
		if line == "…" {
			continue
		}
		at := slices.Index(rest, line)
		if at < 0 {
			t.Fatalf("the README shows %q, the story goes on\n%s", line, strings.Join(rest, "\n"))
		}
		rest = rest[at+1:]
	}
	if len(rest) > 0 {
		t.Errorf("the README leaves out the end: %q", rest)
	}
}

// plain returns the lines of a text without parts that differ between runs: addresses are numbered
// in their order, because ports are new, and so are the bytes of an image.
func plain(text string) (lines []string) {
	text = regexp.MustCompile(`\d+ bytes`).ReplaceAllString(text, "some bytes")
	seen := map[string]string{}
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(text, func(address string) string {
		if seen[address] == "" {
			seen[address] = fmt.Sprintf("host %d", len(seen)+1)
		}
		return seen[address]
	})
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// With files that send pulls elsewhere the demo must fail.
func TestRunNoticesAWrongHost(t *testing.T) {
	regs, err := startRegistries()
	if err != nil {
		t.Fatal(err)
	}
	defer regs.close()
	certsDir := t.TempDir()
	dir := filepath.Join(certsDir, "docker.io")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	toml := "server = \"http://" + regs.mirror.addr + "/v2/hub\"\noverride_path = true\n"
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := &story{w: &out}
	err = newPuller(certsDir).tell(t.Context(), s, "docker.io/library/hello:1.0", regs.private.addr)
	if err == nil || !strings.Contains(err.Error(), "instead of") {
		t.Errorf("error %v", err)
	}
	if err := newPuller(certsDir).tell(t.Context(), s, "quay.io/a/b:1", regs.mirror.addr); err == nil || !strings.Contains(out.String(), "would leave this machine") {
		t.Errorf("a pull left this machine: %v", err)
	}
}
