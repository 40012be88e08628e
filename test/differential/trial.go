package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The programs.
const (
	berth    = "berth"
	provider = "berth-credential-provider"
)

// command is a command in the working directory of a version.
type command struct {
	program string
	args    []string
	stdin   string
	form    form
}

func (c command) String() string { return c.program + " " + strings.Join(c.args, " ") }

// step is a command, after an edit by another program.
type step struct {
	command
	edit *edit
	// subject is the registry of the command, "" for all.
	subject string
	// config is the config of the command; nil for none.
	config *config
	// alone marks a step that does not concern the node.
	alone bool
	// kind is the input of convert: rke, k3s, containerd, docker, certs.d, or "" for invalid input.
	kind string
	// input holds the files of a directory that convert reads.
	input []entry
}

func (s step) String() string {
	if s.edit != nil {
		return s.edit.what + ", then " + s.command.String()
	}
	return s.command.String()
}

// trial is one node with its steps.
type trial struct {
	number   int
	dir      string // work directory; each version has one in it
	programs [2]string
	env      [2][]string
	rooted   [2]bool // the provider has --root: it reads files of the node
	probes   [2]bool // plan and apply ask registries, and have --no-probe
	chance   chance

	layout layout
	steps  []step

	tainted map[string]string // subject → purpose, of the differences so far
	known   map[string]bool   // differences that an earlier step had
	result  result
}

// The versions.
const (
	older = iota
	newer
)

var versions = [...]string{older: "old", newer: "new"}

// newTrial returns the trial of a number, the same one for the same seed.
func newTrial(o options, number int, dir string, clouds *clouds) *trial {
	c := chance{rand.New(rand.NewPCG(o.seed, uint64(number)))}
	t := &trial{
		number: number, dir: dir, chance: c, programs: [2]string{o.old, o.new}, rooted: o.rooted, probes: o.probes,
		tainted: map[string]string{}, known: map[string]bool{},
		result: result{number: number, dir: dir, purposes: map[string]int{}, damaged: map[string]int{}, missed: map[string]int{}},
	}
	which := pick(c, noCloud, serving, serving, denying)
	for v := range versions {
		t.env[v] = clouds.env(which, filepath.Join(dir, versions[v], "home"))
	}
	// Tokens are made for the present moment. No result shows it.
	t.layout = makeLayout(c, time.Now().UTC())
	t.steps = makeSteps(c)
	if o.docker {
		t.steps = append(t.steps, dockerStep(c)) // last, so that the other steps stay the same
	}
	return t
}

// makeSteps returns the commands of a trial.
func makeSteps(c chance) []step {
	first, second := makeConfig(c, "first.yaml"), makeConfig(c, "second.yaml")
	if c.in(3) {
		second = variation(c, first)
	}
	edited := makeEdit(c)
	var images [3]string
	for i := range images {
		images[i] = makeImage(c)
	}
	var all []step
	plan := on(&first, "plan", "-o", "json")
	if c.in(5) {
		plan = on(&first, "plan")
	}
	all = append(all, plan)
	early := c.in(3)
	if early {
		all = append(all, credentials(&first, images[0]))
	}
	all = append(all, on(&first, "apply", "-o", "json"))
	if !early {
		all = append(all, credentials(&first, images[0]))
	}
	all = append(all, answer(c, images[0]), answer(c, images[1]), answer(c, images[2]))
	if c.in(3) {
		all = append(all, on(&first, "apply", "-o", "json"))
	}
	all = append(all,
		on(&second, "apply", "-o", "json"),
		answer(c, images[0]), answer(c, images[1]),
		edits(on(&second, "plan", "-o", "json"), edited),
		answer(c, images[0]), answer(c, images[2]),
		credentials(nil, images[1]),
		on(&second, "apply", "-o", "json"),
		answer(c, images[0]), answer(c, images[2]),
		on(nil, "restore", "-o", "json"),
		answer(c, images[1]))
	for range 2 {
		all = append(all, convertStep(c))
	}
	return all
}

// on is a verb with a config.
func on(cfg *config, args ...string) step {
	s := step{config: cfg}
	s.command = command{program: berth, args: append(args, "--root", node), form: isText}
	if args[len(args)-1] == "json" {
		s.form = isJSON
	}
	if cfg != nil {
		s.args = append(s.args, "-c", cfg.path)
	}
	return s
}

func edits(s step, e edit) step {
	s.edit = &e
	return s
}

func credentials(cfg *config, image string) step {
	s := on(cfg, "credentials", image, "--show-secret", "-o", "json")
	s.subject = registryOf(image)
	return s
}

// answer asks the credential provider for an image.
func answer(c chance, image string) step {
	version := pick(c, "v1", "v1", "v1beta1", "v1alpha1")
	args := []string{"--rules", node + stateDir + "/provider.json", "--run-dir", node + tokenDir}
	return step{subject: registryOf(image), command: command{
		program: provider, args: args, form: isExact,
		stdin: fmt.Sprintf(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/%s","image":%q}`, version, image),
	}}
}

// makeImage returns the name of an image in kubelet's form.
func makeImage(c chance) string {
	return pick(c,
		"docker.io/library/nginx", "docker.io/team/app", "quay.io/team/app", "quay.io/team-evil/app", "ghcr.io/org/app", "reg.corp/team/app", "reg.corp/app",
		"reg.corp:5000/app", "reg.corp:443/team/app", "localhost:5000/app", "localhost/app", "127.0.0.1:80/app", "registry.k8s.io/pause", "other.corp/app",
		ecrEast+"/app", ecrWest+"/app", ecrWest+":443/app", "images.corp/app", "mirror.corp:5000/app", "harbor.corp/hub/team/app", "public.ecr.aws/nginx/nginx",
		"index.docker.io/library/nginx", "nginx", "a b")
}

// registryOf returns the registry of an image.
func registryOf(image string) string {
	registry, _, ok := strings.Cut(image, "/")
	if !ok || registry == "index.docker.io" {
		return "docker.io"
	}
	return registry
}

// variation returns the same config with a part removed.
func variation(c chance, from config) config {
	other := from
	if strings.HasPrefix(from.path, "conf/") {
		return from
	}
	other.path = "second.yaml" // it uses the files of the first
	lines := strings.SplitAfter(from.text, "\n")
	// An endpoint that is not the first of its mirror.
	for i := len(lines) - 1; i > 0; i-- {
		if strings.HasPrefix(lines[i], "  - url: ") && strings.HasPrefix(lines[i-1], "  - url: ") {
			lines = append(lines[:i:i], lines[i+1:]...)
			break
		}
	}
	other.text = strings.Join(lines, "")
	if c.in(2) {
		other.text = strings.Replace(other.text, "hunter2", "hunter3", 1)
	}
	return other
}

// run makes the node and executes the steps, in both versions.
func (t *trial) run(ctx context.Context) result {
	if t.result.err = t.prepare(ctx); t.result.err != nil {
		return t.result
	}
	var last [2]observation // as the last step that concerns the node left it
	over := false           // the versions have diverged, intentionally
	for i, s := range t.steps {
		if over && !s.alone {
			continue
		}
		if s.edit != nil {
			if t.result.err = s.edit.do(t.root(older), t.root(newer)); t.result.err != nil {
				return t.result
			}
		}
		var both [2]observation
		for v := range versions {
			if t.result.err = renewVerdicts(t.root(v)); t.result.err != nil {
				return t.result
			}
			if both[v], t.result.err = t.execute(ctx, v, s); t.result.err != nil {
				return t.result
			}
		}
		c := situation{trial: t, step: s, at: i, before: last, did: both}
		ended := t.sort(c, compare(s, both[older], both[newer]))
		over = over || ended && !s.alone
		if !s.alone {
			last = both
		}
		t.tryDamages(c)
	}
	t.record()
	return t.result
}

// verdict matches a reason in a token file, with its times.
var verdict = regexp.MustCompile(`"at":"[^"]*","until":"[^"]*"`)

// renewVerdicts extends the reasons why there is no token: whether a command asks AWS again must
// not depend on the duration of the command before.
func renewVerdicts(root string) error {
	files, err := filepath.Glob(filepath.Join(root, tokenDir, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		renewed := verdict.ReplaceAllLiteral(content, fmt.Appendf(nil, `"at":%q,"until":%q`, now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)))
		if bytes.Equal(renewed, content) {
			continue
		}
		if err := os.WriteFile(name, renewed, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// root returns the root of the node of a version.
func (t *trial) root(v int) string { return filepath.Join(t.dir, versions[v], node) }

func (t *trial) execute(ctx context.Context, v int, s step) (observation, error) {
	t.result.commands++
	c := s.command
	if c.program == berth && t.probes[v] && (c.args[0] == "plan" || c.args[0] == "apply") {
		c.args = append(slices.Clone(c.args), "--no-probe")
	}
	if c.program == provider && t.rooted[v] {
		c.args = append(slices.Clone(c.args), "--root", node)
	}
	return execute(ctx, filepath.Join(t.dir, versions[v]), t.env[v], c, filepath.Join(t.programs[v], c.program))
}

// prepare makes the working directories. The old version writes the files of an earlier apply for
// both.
func (t *trial) prepare(ctx context.Context) error {
	first := filepath.Join(t.dir, versions[older])
	root := filepath.Join(first, node)
	for _, dir := range []string{root, filepath.Join(first, "home"), filepath.Join(first, "conf")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, e := range t.layout.entries {
		if err := e.writeSome(root); err != nil {
			return err
		}
	}
	configs := []*config{t.layout.before}
	for _, s := range t.steps {
		configs = append(configs, s.config)
	}
	for _, c := range configs {
		if c == nil {
			continue
		}
		if err := c.write(first); err != nil {
			return err
		}
	}
	for _, s := range t.steps {
		if s.input == nil {
			continue
		}
		below := filepath.Join(t.dir, input)
		if err := os.MkdirAll(below, 0o755); err != nil {
			return err
		}
		for _, e := range s.input {
			if err := e.writeSome(below); err != nil {
				return err
			}
		}
	}
	if b := t.layout.before; b != nil {
		s := on(b, "apply")
		if _, err := t.execute(ctx, older, s); err != nil {
			return err
		}
		for _, e := range t.layout.damage {
			if err := e.do(root); err != nil {
				return err
			}
		}
	}
	return copyNode(first, filepath.Join(t.dir, versions[newer]))
}

// write writes the config and its files into dir.
func (c *config) write(dir string) error {
	files := map[string]string{filepath.Base(c.path): c.text}
	for name, content := range c.files {
		files[c.name+"-"+name] = content
	}
	for name, content := range files {
		e := entry{path: filepath.Join(filepath.Dir(c.path), name), mode: 0o600, content: content}
		if err := e.writeSome(dir); err != nil {
			return err
		}
	}
	return nil
}

// record writes files for people who inspect a kept trial.
func (t *trial) record() {
	if len(t.result.failures) == 0 {
		return
	}
	text := strings.Join(t.result.failures, "\n") + "\n\nsteps:\n"
	for _, s := range t.steps {
		text += s.String() + "\n"
		if s.stdin != "" {
			text += "  stdin: " + s.stdin + "\n"
		}
	}
	t.result.err = os.WriteFile(filepath.Join(t.dir, "differences.txt"), []byte(text), 0o644)
}
