package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
)

// TestTokenServers puts registries that accept only tokens behind and in front of a mirror, and
// compares what berth plan and berth trace say with what the registries and the token servers
// count: no login reaches a token server that was not allowed.
func TestTokenServers(t *testing.T) {
	var scenarios []scenario
	for _, role := range []string{"mirror", "upstream", "both"} {
		for _, c := range tokenCases() {
			scenarios = append(scenarios, scenario{role + "-" + c.name, func(s *fixture) { tokensServe(s, role, c) }})
		}
	}
	scenarios = append(scenarios, scenario{"changes-while-the-agent-runs", tokenServerChanges})
	onEachContainerd(t, programs{berth: berthBinary(t)}, scenarios)
}

// tokenCase is where the token server of a registry is.
type tokenCase struct {
	name    string
	realm   func(registry string) string // its host[:port]
	entry   string                       // more of the entry of the config
	allowed bool
	unseen  bool // Berth does not see containerd, so it does not know the release
	control bool // the login must reach a token server that is not allowed
}

func tokenCases() []tokenCase {
	at := func(host string) func(string) string { return func(string) string { return host } }
	own := func(registry string) string { name, _, _ := strings.Cut(registry, ":"); return name + ":9443" }
	return []tokenCase{
		{name: "on-the-host", realm: own, allowed: true},
		{name: "on-its-domain", realm: at(ofTheDomain), allowed: true},
		{name: "elsewhere", realm: at(elsewhere)},
		{name: "elsewhere-and-listed", realm: at(elsewhere), entry: ", tokenRealms: [" + elsewhere + "]", allowed: true},
		{name: "elsewhere-and-another-port-is-listed", realm: at(elsewhere), entry: `, tokenRealms: ["` + elsewhere + `:8443"]`},
		{name: "on-its-domain-and-the-release-is-unknown", realm: at(ofTheDomain), allowed: true, unseen: true},
		{name: "elsewhere-and-the-release-is-unknown", realm: at(elsewhere), unseen: true},
		// The control: from 2.1 on containerd sends a header to any token server.
		{name: "elsewhere-control", realm: at(elsewhere), entry: ", auth: basic", control: true},
	}
}

func tokensServe(s *fixture, role string, c tokenCase) {
	n := newTokenNode(s, !c.unseen)
	serves := n.toServer && (c.allowed || c.control)
	written := c.control || c.allowed && (n.toServer || c.unseen)
	pull, source := tokenRegistry+"/team/app:v1", ""
	directory := tokenRegistry // of the pull
	var config string
	var img sample.Image
	var asked []string // the registries that accept only tokens
	switch role {
	case "mirror":
		img = n.image("hub/"+repo, n.start(tokenMirror, c.realm(tokenMirror)))
		n.push(repo, img, n.content)
		config = mirrorOf("docker.io", "https://"+tokenMirror+"/hub")
		pull, directory, source, asked = ref, "docker.io", hub, []string{tokenMirror}
		if serves {
			source = tokenMirror
		}
	case "upstream":
		img = n.image("team/app:v1", n.start(tokenRegistry, c.realm(tokenRegistry)))
		empty := n.mirror(upstream.Status(http.StatusNotFound))
		n.claimed[empty] = true
		config = mirrorOf(tokenRegistry, "http://"+empty.Addr())
		asked = []string{tokenRegistry}
	case "both":
		n.start(tokenMirror, c.realm(tokenMirror))
		img = n.image("team/app:v1", n.start(tokenRegistry, c.realm(tokenRegistry)))
		config = mirrorOf(tokenRegistry, "https://"+tokenMirror)
		asked = []string{tokenMirror, tokenRegistry}
	}
	// If every host has the same login, the credential provider gives it to kubelet.
	var passed *containerd.Credential
	login := ""
	switch {
	case serves:
		login = "the login in the header"
	case role == "both" && c.allowed:
		login, passed = "the login that kubelet passes", &containerd.Credential{Username: robot, Password: password}
	}
	if role != "mirror" && login != "" {
		source = tokenRegistry
	}
	config += "registries:\n"
	for _, name := range asked {
		config += n.entry(name, c.entry)
	}
	n.writeConfig(config)

	planned := n.berthSays(1, "plan", "--config", n.config, "--root", n.root)
	if again := n.berthSays(1, "plan", "--config", n.config, "--root", n.root); again != planned {
		n.Errorf("berth plan says\n%s\nand then\n%s", indent(planned), indent(again))
	}
	applied := n.berthSays(0, "apply", "--config", n.config, "--root", n.root)
	if got := n.hasHeader(directory); got != written {
		n.Errorf("the login is written: %t, want %t\n%s", got, written, indent(applied))
	}
	if left := n.berthSays(0, "plan", "--config", n.config, "--root", n.root); strings.Contains(left, "hosts.toml") {
		n.Errorf("after apply, plan says\n%s", indent(left))
	}
	remedy := "tokenRealms: [\"" + elsewhere + "\"]"
	for _, told := range []string{planned, applied} {
		if untrusted := !c.allowed && !c.control && (n.toServer || c.unseen); strings.Contains(told, remedy) != untrusted {
			n.Errorf("it says %q: %t, want %t\n%s", remedy, !untrusted, untrusted, indent(told))
		}
	}
	for host := range n.tokens {
		if n.logins(host) > 0 {
			n.Errorf("plan and apply logged in at %s", host)
		}
	}

	told := n.traced(pull)
	before := map[string]int{}
	for host := range n.tokens {
		before[host] = n.logins(host)
	}
	served := n.pulledAs(pull, passed, img)
	if served != source {
		n.Errorf("containerd got it from %q, want %q", served, source)
	}
	if c.control && n.toServer {
		// trace does not log in there, and says so.
		if !strings.Contains(told.Verdict.Text, elsewhere) || told.Verdict.Serves {
			n.Errorf("trace says %+v", told.Verdict)
		}
	} else if text := told.Verdict.disagrees(served); text != "" {
		n.Error(text)
	}
	n.checkTokenServers(c, told, asked, login, before)
}

// checkTokenServers compares what trace says about the token servers of the registries that were
// asked with what they count: before, and then in the pull. login is the one that they get.
func (n *tokenNode) checkTokenServers(c tokenCase, told tokenTrace, asked []string, login string, before map[string]int) {
	n.Helper()
	for _, name := range asked {
		realm := c.realm(name)
		all := n.logins(realm)
		if pulling := all - before[realm]; (pulling > 0) != (login != "") {
			n.Errorf("containerd logged in %d times at %s, the token server of %s; want %q", pulling, realm, name, login)
		}
		if !c.allowed && !c.control && all > 0 {
			n.Errorf("%d logins reached %s, which is not allowed", all, realm)
		}
		i := slices.IndexFunc(told.Hosts, func(h struct{ URL, TokenServer, TokenLogin string }) bool {
			return strings.HasPrefix(h.URL, "https://"+name+"/")
		})
		if i < 0 {
			n.Errorf("trace has no host %s: %+v", name, told.Hosts)
			continue
		}
		h := told.Hosts[i]
		want := login
		if want == "" {
			want = "no login"
		}
		if len(asked) > 1 && !c.allowed && login == "" {
			// Every host has the same login, so kubelet may pass it: token servers are not checked for
			// kubelet's credential, and here is no kubelet.
			want = "the login that kubelet passes"
		}
		if h.TokenServer != "https://"+realm || !strings.HasPrefix(h.TokenLogin, want) {
			n.Errorf("trace says that %q gets %q; want %s and %q", h.TokenServer, h.TokenLogin, realm, want)
		}
	}
}

// tokenServerChanges: a registry names another token server while the agent runs.
func tokenServerChanges(s *fixture) {
	s.hubTells()
	n := newTokenNode(s, true)
	img := n.image("hub/"+repo, n.start(tokenMirror, ofTheDomain))
	n.push(repo, img, n.content)
	config := func(more string) string {
		return mirrorOf("docker.io", "https://"+tokenMirror+"/hub") + "health: {interval: 2s}\nregistries:\n" + n.entry(tokenMirror, more)
	}
	a := n.startAgent(n.env, config(""))
	header := func(want bool) func() bool {
		return func() bool { return n.hostsFile("docker.io") != "" && n.hasHeader("docker.io") == want }
	}
	n.until("the header is as this containerd needs it", patience, header(n.toServer))
	source := map[bool]string{true: tokenMirror, false: hub}
	if served := n.pulled(ref, img); served != source[n.toServer] {
		n.Errorf("at first containerd got it from %q", served)
	}
	n.checkLogins(ofTheDomain, n.toServer)

	// Behind the name is another registry now.
	second := n.start(tokenMirror, elsewhere)
	if n.toServer {
		n.until("the header is gone", patience, header(false))
		probes, err := second.Answered(n.Context(), "berth (mirror prober)")
		if err != nil {
			n.Fatal(err)
		}
		rounds := 0
		for _, q := range probes {
			if q.URI == "/v2/" && q.Status == http.StatusUnauthorized {
				rounds++
			}
		}
		if rounds == 0 || rounds > 2 {
			n.Errorf("the header is gone after %d probes, want 1, or 2 if one had begun", rounds)
		}
		n.Logf("containerd %s: the header is gone after %d probes", n.daemon.Version(), rounds)
		n.until("an alarm names both token servers", patience, func() bool {
			page := a.get("/status")
			return strings.Contains(page, "LoginRefused") && strings.Contains(page, "https://"+elsewhere) && strings.Contains(page, "https://"+ofTheDomain)
		})
	} else {
		n.until("the new registry is probed", patience, func() bool {
			probes, err := second.Answered(n.Context(), "berth (mirror prober)")
			return err == nil && len(probes) > 1
		})
	}
	other := n.image("hub/library/other:v1", second)
	n.push("library/other:v1", other, n.content)
	if served := n.pulled("docker.io/library/other:v1", other); served != hub {
		n.Errorf("while the token server is not allowed, containerd got it from %q", served)
	}
	n.checkLogins(elsewhere, false)

	n.writeConfig(config(", tokenRealms: [" + elsewhere + "]"))
	n.until("the header is back", patience, header(n.toServer))
	third := n.image("hub/library/third:v1", second)
	n.push("library/third:v1", third, n.content)
	if served := n.pulled("docker.io/library/third:v1", third); served != source[n.toServer] {
		n.Errorf("when it is listed, containerd got it from %q", served)
	}
	n.checkLogins(elsewhere, n.toServer)
}

// checkLogins checks whether a token server got logins.
func (n *tokenNode) checkLogins(host string, want bool) {
	n.Helper()
	if all := n.logins(host); (all > 0) != want {
		n.Errorf("%d logins at %s, want logins: %t", all, host, want)
	}
}
