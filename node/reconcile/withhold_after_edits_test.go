package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/test/nodetest"
)

// provider is the provider as kubelet would run it now, with the rules on disk and the files of
// the node.
func (n *Node) provider(t *testing.T) *credprovider.Provider {
	t.Helper()
	rules, err := n.installedRules()
	if err != nil {
		t.Fatal(err)
	}
	return &credprovider.Provider{Rules: rules, Resolve: n.Root.Resolve}
}

// TestEditsAfterApply changes certs.d at random between apply and kubelet's request. The
// provider may give a credential only if every host that containerd asks may have it, and berth
// credentials has to report the same.
func TestEditsAfterApply(t *testing.T) {
	const text = `
mirrors:
- {upstream: docker.io, endpoints: [{url: mirror.corp}], upstreamFallback: false}
- {upstream: "h.corp:5000", endpoints: [{url: shared.corp}]}
registries:
- {host: mirror.corp, username: m, password: p, auth: token}
- {host: ghcr.io, username: g, password: p, auth: token}
- {host: "h.corp:5000", username: s, password: p, auth: token}
- {host: shared.corp, username: s, password: p, auth: token}
`
	const catchAll = "- {upstream: \"*\", endpoints: [{url: catch.corp}]}\n"
	const ecrHost = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	// allowed lists, by the user name of a login, the hosts that may have it.
	allowed := map[string][]string{"m": {"mirror.corp"}, "g": {"ghcr.io"}, "s": {"h.corp:5000", "shared.corp"}, "AWS": {ecrHost}}
	stranger := func(p *credprovider.Provider, root, image, registry string) []string {
		plan, _ := p.Rules.Decide(image)
		user := "AWS"
		if plan.Login != nil {
			user = plan.Login.Username
		}
		return slices.DeleteFunc(nodetest.AskedHosts(t, root, registry), func(h string) bool { return slices.Contains(allowed[user], h) })
	}
	rnd := rand.New(rand.NewPCG(10, 16))
	given, withheld, leaksOfTheOld := 0, 0, 0
	for n := range 150 {
		root := t.TempDir()
		m := open(t, root)
		cfg := nodetest.ParseConfig(t, text)
		if n%3 == 0 {
			cfg = nodetest.ParseConfig(t, strings.Replace(text, "mirrors:\n", "mirrors:\n"+catchAll, 1))
		}
		e := editor{rnd, filepath.Join(root, nodetest.CertsDir)}
		for range rnd.IntN(3) {
			e.edit(t)
		}
		if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
			t.Fatal(err)
		}
		for range rnd.IntN(3) {
			e.edit(t)
		}
		if rnd.IntN(10) == 0 {
			if err := os.RemoveAll(filepath.Join(root, StateDir)); err != nil {
				t.Fatal(err)
			}
		}
		p := m.provider(t)
		registries := []string{"docker.io", "ghcr.io", "h.corp:5000", ecrHost}
		for _, registry := range registries {
			image := registry + "/team/app"
			err := p.Check(image)
			strangers := stranger(p, root, image, registry)
			if err == nil {
				given++
				if len(strangers) > 0 {
					t.Fatalf("%d: the credential for %s is given, and %q are asked; done: %q", n, image, strangers, e.log())
				}
			}
			old := *p
			old.Rules.CertsDir, old.Rules.Missing = "", false
			if old.Check(image) == nil && len(strangers) > 0 {
				leaksOfTheOld++
			}
			if w, ok := errors.AsType[*credprovider.WithheldError](err); ok && w.Changed != "" {
				withheld++
				x, err := m.Credentials(t.Context(), cfg, image, nil)
				if err != nil || x.Credential != nil || x.Err.Error() != w.Error() {
					t.Fatalf("%d: berth credentials says %v, %v, and the provider %v", n, x.Err, err, w)
				}
			}
		}
		// The rules that apply writes are true, whatever was there before.
		if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
			continue // an entry is in the way that an operator must remove
		}
		p = m.provider(t)
		for _, registry := range registries {
			if w, ok := errors.AsType[*credprovider.WithheldError](p.Check(registry + "/team/app")); ok && w.Changed != "" && !strings.Contains(w.Changed, "cannot be read") {
				t.Fatalf("%d: after apply: %v", n, w)
			}
		}
	}
	t.Logf("given %d, withheld because of a change %d; rules that compare nothing would have leaked %d", given, withheld, leaksOfTheOld)
	if given < 50 || withheld < 30 || leaksOfTheOld < 10 {
		t.Errorf("too few cases mean anything: given %d, withheld %d, leaks without the comparison %d", given, withheld, leaksOfTheOld)
	}
}

// editor is another program that writes below certs.d.
type editor struct {
	rnd *rand.Rand
	dir string
}

func (e editor) pick(from ...string) string { return from[e.rnd.IntN(len(from))] }

func (e editor) log() []string {
	var all []string
	files, _ := filepath.Glob(filepath.Join(e.dir, "*", "*"))
	for _, f := range files {
		content, err := os.ReadFile(f)
		all = append(all, fmt.Sprintf("%s: %s %v", strings.TrimPrefix(f, e.dir), content, err))
	}
	return all
}

func (e editor) edit(t *testing.T) {
	t.Helper()
	dir := filepath.Join(e.dir, e.pick("docker.io", "_default", "ghcr.io", "h.corp_5000_", "h.corp:5000", "quay.io",
		"111122223333.dkr.ecr.us-east-1.amazonaws.com"))
	file := filepath.Join(dir, "hosts.toml")
	var err error
	switch e.rnd.IntN(10) {
	case 0:
		err = os.RemoveAll(dir)
	case 1:
		if err = os.Remove(file); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	case 2:
		err = errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	case 3:
		err = os.RemoveAll(e.dir)
	case 4: // a symlink to another directory
		err = errors.Join(os.RemoveAll(dir), os.MkdirAll(e.dir, 0o755), os.Symlink("quay.io", dir))
	default:
		if info, lerr := os.Lstat(dir); lerr == nil && !info.IsDir() {
			err = os.Remove(dir)
		}
		content := e.pick("", "# nothing\n", "[host.\"https://evil.corp\"]\n", "[host.\"https://shared.corp\"]\n",
			"server = \"https://mirror.corp\"\n[host.\"https://mirror.corp\"]\n", "server = \"https://evil.corp\"\n")
		// A file with mode 0644 that is written in place or replaced.
		err = errors.Join(err, os.MkdirAll(dir, 0o755))
		if e.rnd.IntN(2) == 0 {
			err = errors.Join(err, os.WriteFile(file+".new", []byte(content), 0o644), os.Rename(file+".new", file))
		} else {
			err = errors.Join(err, os.WriteFile(file, []byte(content), 0o644))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTransitionRulesKnowBothContents: while our own file is replaced, and after a kill at that
// moment, the provider still gives a credential that both states may give.
func TestTransitionRulesKnowBothContents(t *testing.T) {
	root := t.TempDir()
	m := open(t, root)
	const before = "mirrors: [{upstream: ghcr.io, endpoints: [{url: a.corp}]}]\n" + threeLogins
	const after = "mirrors: [{upstream: ghcr.io, endpoints: [{url: b.corp}]}]\n" + threeLogins
	if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, before), nil); err != nil {
		t.Fatal(err)
	}
	cfg := nodetest.ParseConfig(t, after)
	plan, err := m.Plan(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.writeTransitionRules(cfg, plan); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, nodetest.CertsDir, "ghcr.io", "hosts.toml")
	var contents [][]byte
	for _, content := range [][]byte{nil, plan.Changes()[0].After.Content(), []byte("[host.\"https://evil.corp\"]\n")} {
		if content != nil {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		contents = append(contents, content)
		err := m.provider(t).Check("ghcr.io/x")
		if last := len(contents) == 3; (err != nil) != last {
			t.Errorf("content %d: %v", len(contents), err)
		}
	}
}

const threeLogins = "registries: [{host: a.corp, username: u, password: p, auth: token}, {host: b.corp, username: u, password: p, auth: token}, " +
	"{host: ghcr.io, username: u, password: p, auth: token}]\n"

// The file is in the rules too after its expired header was removed because nothing else could
// be written.
func TestRulesKnowTheFileWithoutItsHeader(t *testing.T) {
	root := t.TempDir()
	m := open(t, root)
	cfg := nodetest.ParseConfig(t, "mirrors: [{upstream: ghcr.io, endpoints: [{url: a.corp}]}]\nregistries: [{host: a.corp, username: u, password: p, auth: basic}]\n")
	if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	gone := *cfg
	gone.Registries = []config.Registry{}
	plan, err := m.Plan(t.Context(), &gone)
	if err != nil {
		t.Fatal(err)
	}
	result := Result{Plan: plan}
	if err := m.removeExpiredSecrets(t.Context(), &result); err != nil || len(result.Report.Changed) == 0 {
		t.Fatalf("%+v, %v", result.Report, err)
	}
	rules, err := m.installedRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range rules.Directories {
		content, err := os.ReadFile(filepath.Join(root, nodetest.CertsDir, hostsconf.DirName(d.Upstream), "hosts.toml"))
		if err != nil || strings.Contains(string(content), "Authorization") || !slices.Contains(d.Files, credprovider.Digest(content)) {
			t.Errorf("%s: %v, files %q, content\n%s", d.Upstream, err, d.Files, content)
		}
	}
}
