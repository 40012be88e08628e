package hostsconf

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/redact"
)

// painted marks text that a terminal would colour.
func painted(style, text string) string { return "<" + style + ">" + text + "</>" }

// Each case moves a node from one state to another; the golden file holds the diff that an
// operator reads before the change is applied.
func TestWriteDiff(t *testing.T) {
	ca, cert, key := testCertificate(t)
	login := func(h Host, password string) Host {
		h.Authorization = BasicAuthorization("user", redact.New(password))
		return h
	}
	dir := func(hosts ...Host) []Directory { return []Directory{{Upstream: "quay.io", Hosts: hosts}} }
	secured := mirror(t, "m.corp")
	secured.TLS = TLS{CA: ca, Cert: cert, Key: redact.New(string(key))}
	m, other := mirror(t, "m.corp"), mirror(t, "other.corp")
	const file = "quay.io/hosts.toml"
	const theirs = "# theirs c2VjcmV0\nserver = \"https://m.corp\"\nx-note = \"2s\"\npassword = %q\n[host.\"https://bob:c2VjcmV0@m.corp\"]\n  header.Cookie = \"c2VjcmV0\"\n"
	var got bytes.Buffer
	for _, c := range []struct {
		name   string
		before []Directory // applied first
		put    map[string]string
		link   string // of quay.io/hosts.toml
		adopt  bool
		after  []Directory
	}{
		{name: "a mirror", after: dir(m)},
		{name: "a mirror with a login", after: dir(login(m, "secret"))},
		{name: "nothing to do", before: dir(login(m, "secret")), after: dir(login(m, "secret"))},
		{name: "another mirror", before: dir(m), after: dir(other)},
		{name: "another mirror, the same login", before: dir(login(m, "secret")), after: dir(login(other, "secret"))},
		{name: "another password", before: dir(login(m, "secret")), after: dir(login(m, "hidden"))},
		{name: "a login more", before: dir(m), after: dir(login(m, "secret"))},
		{name: "no longer wanted", before: dir(login(m, "secret"))},
		{name: "certificates", after: dir(secured)},
		{name: "certificates that stay a while", before: dir(secured), after: dir(m)},
		{name: "ours, edited", before: dir(m), put: map[string]string{file: "server = \"https://evil.corp\" # c2VjcmV0\n"}, after: dir(m)},
		{name: "a foreign file", put: map[string]string{file: fmt.Sprintf(theirs, "c2VjcmV0")}, after: dir(m)},
		{name: "a foreign file, adopted", put: map[string]string{file: fmt.Sprintf(theirs, "c2VjcmV0")}, adopt: true, after: dir(m)},
		{name: "a foreign file with our login in another place", put: map[string]string{file: fmt.Sprintf(theirs, login(m, "secret").Authorization.Reveal())}, adopt: true, after: dir(login(m, "secret"))},
		{name: "a foreign symlink", link: "elsewhere", after: dir(m)},
	} {
		n := newNode(t, nil)
		n.apply(c.before...)
		for name, content := range c.put {
			n.put(name, content)
		}
		if c.link != "" {
			n.link(c.link, file)
		}
		n.adopt = c.adopt
		desired, changes := n.plan(c.after...)
		fmt.Fprintf(&got, "== %s\n", c.name)
		if err := WriteDiff(&got, desired, changes, painted); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(got.String(), "c2VjcmV0") || strings.Contains(got.String(), "dXNlcj") {
		t.Errorf("a secret is shown:\n%s", got.Bytes())
	}
	golden(t, "diff.golden", got.Bytes())
}

func TestDescribe(t *testing.T) {
	only := withLogin(mirror(t, "only.corp/hub"))
	for want, d := range map[string]Directory{
		"images of quay.io come from https://m.corp, then https://quay.io": {
			Upstream: "quay.io", Hosts: []Host{mirror(t, "m.corp")}},
		"images of docker.io come from https://registry-1.docker.io": {Upstream: "docker.io"},
		"images of quay.io come from https://a.corp, then https://b.corp, then https://only.corp/v2/hub (with a login)": {
			Upstream: "quay.io", Hosts: []Host{mirror(t, "a.corp"), mirror(t, "b.corp")}, Server: &only},
		"images of every other registry come from https://only.corp/v2/hub (with a login)": {Upstream: Default, Server: &only},
		"images of every other registry come from https://m.corp, then the registry itself": {
			Upstream: Default, Hosts: []Host{mirror(t, "m.corp")}},
		// containerd tries https and http there.
		"images of localhost:5000 come from the registry itself": {Upstream: "localhost:5000"},
	} {
		if got := d.Describe(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// Differences between the releases of containerd for one file, as a message shows them.
func TestDifferences(t *testing.T) {
	const mirror = "[host.\"https://m.corp\"]\n"
	for name, c := range map[string]struct {
		registry string
		files    map[string]string
		want     string
	}{
		"no directory":     {"quay.io", nil, ""},
		"the same for all": {"quay.io", map[string]string{"quay.io/hosts.toml": mirror}, ""},
		"no host table": {"quay.io", map[string]string{"quay.io/hosts.toml": "server = \"https://m.corp\"\n"},
			"containerd 1.6 to 1.7.31 ignores the file; containerd 1.7.32 and later asks https://m.corp/v2"},
		"no host table, default": {"_default", map[string]string{"_default/hosts.toml": "capabilities = [\"pull\"]\n"},
			"containerd 1.6 to 1.7.31 ignores the file; containerd 1.7.32 and later asks the registry itself"},
		"a server, default": {"_default", map[string]string{"_default/hosts.toml": "server = \"https://m.corp\"\n"},
			"containerd 1.6 to 1.7.31 ignores the file; containerd 1.7.32 and later asks https://m.corp/v2"},
		"a key that kills": {"quay.io", map[string]string{"quay.io/hosts.toml": "[host]\nx = 1\n" + mirror},
			"containerd 1.6 to 1.7 crashes at the pull; containerd 2.0.0 and later ignores the file"},
		"a new capability": {"quay.io", map[string]string{"quay.io/hosts.toml": mirror + "capabilities = [\"pull\", \"referrers\"]\n"},
			"containerd 1.6 to 2.1 ignores the file; containerd 2.2 and later asks https://m.corp/v2, https://quay.io/v2"},
		"a certificate is missing": {"quay.io", map[string]string{"quay.io/hosts.toml": mirror + "ca = \"gone.pem\"\n"}, ""},
		"a certificate, TOML 1.1": {"quay.io", map[string]string{"quay.io/hosts.toml": "ca = \"gone\\x2epem\"\n" + mirror},
			"containerd 1.6 to 2.3 ignores the file; containerd 2.4 and later fails the pull"},
	} {
		if got := Differences(writeTree(t, c.files), c.registry); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
