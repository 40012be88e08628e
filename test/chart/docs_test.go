package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
)

// block is a fenced block of a page.
type block struct{ kind, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$")

func blocks(t *testing.T, page string) []block {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(top, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		found = append(found, block{m[1], m[2]})
	}
	return found
}

// TestDocs: the pages show values that the chart accepts, configs that Berth accepts, and helm
// commands that work. test/cluster runs those of kubectl, or they are too simple to fail.
func TestDocs(t *testing.T) {
	for page, want := range map[string]map[string]int{
		"kubernetes.md": {"yaml values": 11, "yaml config": 1, "helm": 10},
		"air-gap.md":    {"yaml values": 1, "yaml config": 1, "helm": 1},
	} {
		t.Run(page, func(t *testing.T) {
			dir := t.TempDir()
			seen := map[string]int{}
			all := blocks(t, page)
			for _, b := range all { // the files that commands name come first
				switch b.kind {
				case "yaml values":
					render(t, b.text)
					write(t, filepath.Join(dir, "values.yaml"), b.text)
				case "yaml config":
					file := filepath.Join(dir, "config.yaml")
					write(t, file, b.text)
					loads(t, file)
				}
			}
			for _, b := range all {
				switch b.kind {
				case "sh":
					for line := range strings.Lines(b.text) {
						seen["helm"] += helmLine(t, strings.Fields(line), dir)
					}
					continue
				case "", "toml", "yaml values", "yaml config":
				case "yaml", "text", "sh inside": // test/e2e follows these
				default:
					t.Errorf("no test for blocks of the kind %q", b.kind)
				}
				seen[b.kind]++
			}
			for kind, n := range want {
				if seen[kind] < n {
					t.Errorf("%d × %s on the page, want %d or more", seen[kind], kind, n)
				}
			}
		})
	}
}

// TestAWSValues: the chart accepts the values of the page about AWS, and a directory of the node is
// mounted at its own path: the agent and the credential provider get the same path.
func TestAWSValues(t *testing.T) {
	mounts, annotations := 0, 0
	for _, b := range blocks(t, "aws.md") {
		if b.kind != "yaml values" {
			continue
		}
		r := render(t, b.text)
		for _, m := range r.agent().VolumeMounts {
			if m.Name != "aws" {
				continue
			}
			if v := r.volume(m.Name); v == nil || v.HostPath == nil || v.HostPath.Path != m.MountPath {
				t.Errorf("%s is mounted from elsewhere", m.MountPath)
			}
			mounts++
		}
		if r.account.Annotations["eks.amazonaws.com/role-arn"] != "" {
			annotations++
		}
	}
	if mounts != 1 || annotations != 1 {
		t.Errorf("%d mounts and %d annotations were checked, want 1 and 1", mounts, annotations)
	}
}

// loads checks that a config is valid, except for files that it names and only a node has.
func loads(t *testing.T, file string) {
	t.Helper()
	_, _, err := config.Load(file)
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "/etc/berth/secrets/") {
			t.Errorf("%s: %s", file, line)
		}
	}
}

// helmLine renders what a command would install, with the files that the page shows before it, and
// counts it.
func helmLine(t *testing.T, args []string, dir string) int {
	t.Helper()
	if len(args) == 0 || args[0] != "helm" {
		return 0
	}
	if args[1] == "uninstall" || args[1] == "rollback" {
		return 1
	}
	if len(args) < 4 || args[2] != "berth" || args[3] != "manifests/chart" {
		t.Errorf("%q installs something else", args)
		return 1
	}
	render := []string{"template", "berth", chart}
	for _, a := range args[4:] {
		if a != "--reuse-values" {
			render = append(render, pageFile(dir, a))
		}
	}
	if args[1] == "upgrade" {
		render = append(render, "--is-upgrade")
	}
	out, stderr, err := helm(t, render...)
	var r rendered
	if err == nil {
		r, err = decode(out)
	}
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, stderr)
		return 1
	}
	// No image is published under the default name.
	if !slices.Contains(args, "--reuse-values") && strings.HasPrefix(r.agent().Image, "ghcr.io/") {
		t.Errorf("%q has no --set image.repository=…: nothing can pull %s", args, r.agent().Image)
	}
	return 1
}

// pageFile replaces the name of a file that the page shows, alone or after "=", by its path in dir.
func pageFile(dir, arg string) string {
	key, name, assigned := strings.Cut(arg, "=")
	if !assigned {
		key, name = "", arg
	} else {
		key += "="
	}
	if _, err := os.Stat(filepath.Join(dir, name)); name == "" || err != nil {
		return arg
	}
	return key + filepath.Join(dir, name)
}

var valuesFile = regexp.MustCompile(`\A# (\S*values\S*\.yaml)\n`)

// TestPlatforms: the chart accepts the values on the pages about platforms, and the helm commands
// there work with them. test/platforms checks everything else on these pages.
func TestPlatforms(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(top, "docs/platforms/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	rendered, commands := 0, 0
	for _, page := range pages {
		page = "platforms/" + filepath.Base(page)
		t.Run(page, func(t *testing.T) {
			dir := t.TempDir()
			for _, b := range blocks(t, page) {
				name := valuesFile.FindStringSubmatch(b.text)
				switch {
				case b.kind == "yaml values" && name == nil:
					name = []string{"", "values.yaml"}
					fallthrough
				case strings.HasPrefix(b.kind, "yaml") && name != nil:
					render(t, b.text)
					write(t, filepath.Join(dir, filepath.Base(name[1])), b.text)
					rendered++
				case b.kind == "yaml config":
					file := filepath.Join(dir, "config.yaml")
					write(t, file, b.text)
					loads(t, file)
				case b.kind == "sh":
					for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
						if args := strings.Fields(line); len(args) > 3 && args[0] == "helm" && args[3] == "manifests/chart" {
							commands += helmLine(t, args, dir)
						}
					}
				}
			}
		})
	}
	if rendered < 7 || commands < 12 {
		t.Errorf("%d values and %d commands were found", rendered, commands)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDocsTellWhatThereIs: the page names each directory of the node that the pod mounts.
func TestDocsTellWhatThereIs(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(top, "docs/kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := render(t, "").pod()
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		for dir := range hostPaths(p, c) {
			if !strings.Contains(string(raw), filepath.Base(dir)) {
				t.Errorf("the page does not tell that %s has %s", c.Name, dir)
			}
		}
	}
}
