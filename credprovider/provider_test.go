package credprovider

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

const (
	otherAccount = "444455556666.dkr.ecr.us-east-1.amazonaws.com"
	usEastFIPS   = "111122223333.dkr-ecr-fips.us-east-1.on.aws"
)

// shared returns logins as a config may have them.
func shared() Rules {
	return Rules{
		Registries: []Login{
			{Host: "registry.corp", Username: "all", Password: redact.New("p0")},
			{Host: "registry.corp", Path: "team", Username: "team", Password: redact.New("p1")},
			{Host: "registry.corp:5555", Username: "port", Password: redact.New("p2")},
			{Host: "m1.corp", Username: "same", Password: redact.New("p3")},
			{Host: "m2.corp", Username: "same", Password: redact.New("p3")},
			{Host: "m3.corp", Username: "same", Password: redact.New("other")},
			{Host: "docker.io", Username: "hub", Password: redact.New("p4")},
			{Host: "harbor.corp", Path: "hub", Username: "hubproxy", Password: redact.New("p5")},
			{Host: "444455556666.dkr.ecr.eu-west-1.amazonaws.com", Username: "own", Password: redact.New("p6")},
			{Host: "[2001:db8::1]:5000", Username: "six", Password: redact.New("p7")},
		},
		ECRNames: ecr.Names{{Host: "images.corp", Account: "111122223333", Region: "us-east-1"}},
	}
}

func hosts(names ...string) []Host {
	var all []Host
	for _, n := range names {
		all = append(all, Host{Host: n})
	}
	return all
}

// TestDecide is the rule against leaks: a credential is given only if every host that containerd
// would ask may have it.
func TestDecide(t *testing.T) {
	star := Directory{Upstream: "*", Hosts: hosts("catch.corp"), AndUpstream: true}
	insecure := func(h string) Host { return Host{Host: h, Insecure: true} }
	header := func(h string) Host { return Host{Host: h, Header: true} }
	for _, c := range []struct {
		name  string
		image string
		dirs  []Directory
		want  string // "ecr", the name of a login, "none", or "withheld from HOST"
		key   string // "" is the registry
	}{
		{name: "ECR, direct", image: usEast + "/app", want: "ecr"},
		{name: "ECR in upper case", image: strings.ToUpper(usEast) + "/app", want: "ecr"},
		{name: "ECR with a port", image: usEast + ":443/app", want: "ecr"},
		{name: "ECR under another name", image: "images.corp/app", want: "ecr"},
		{name: "near miss", image: usEast + ".evil.com/app", want: "none"},
		{name: "Docker Hub has no ECR token", image: "ghcr.io/app", want: "none"},
		{name: "a login for an ECR host goes first", image: "444455556666.dkr.ecr.eu-west-1.amazonaws.com/app", want: "444455556666.dkr.ecr.eu-west-1.amazonaws.com"},
		{name: "IPv6", image: "[2001:db8::1]:5000/app", want: "[2001:db8::1]:5000"},

		{name: "login, direct", image: "registry.corp:5555/x", want: "registry.corp:5555"},
		{name: "by port", image: "registry.corp:5000/x", want: "none"},
		{name: "443 is what https means", image: "m1.corp:443/x", want: "m1.corp"},
		{name: "by path", image: "registry.corp/team/app", want: "registry.corp/team", key: "registry.corp/team/app"},
		{name: "by whole segments", image: "registry.corp/team-evil/app", want: "registry.corp", key: "registry.corp/team-evil/app"},
		{name: "Docker Hub", image: "docker.io/library/nginx", want: "docker.io"},
		{name: "near miss of a login", image: "evil-registry.corp/x", want: "none"},
		{name: "subdomain of a login", image: "x.m1.corp/x", want: "none"},

		{name: `"*" captures ECR`, image: usEast + "/app", dirs: []Directory{star}, want: "withheld from catch.corp"},
		{name: `"*" captures a login`, image: "m1.corp/x", dirs: []Directory{star}, want: "withheld from catch.corp"},
		{name: `"*" and nothing of ours`, image: "ghcr.io/x", dirs: []Directory{star}, want: "none"},
		{name: "pass-through beside it", image: usEast + "/app", dirs: []Directory{star, {Upstream: usEast, AndUpstream: true}}, want: "ecr"},
		{name: "a directory in other letters does not win", image: strings.ToUpper(usEast) + "/app",
			dirs: []Directory{star, {Upstream: usEast, AndUpstream: true}}, want: "withheld from catch.corp"},
		{name: "a directory with another port does not win", image: usEast + ":443/app",
			dirs: []Directory{star, {Upstream: usEast, AndUpstream: true}}, want: "withheld from catch.corp"},

		{name: "ECR mirror with fallback", image: "quay.io/app", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts(usEast, "quay.io")}}, want: "withheld from quay.io"},
		{name: "the upstream's login and a mirror", image: "docker.io/library/nginx",
			dirs: []Directory{{Upstream: "docker.io", Hosts: hosts("catch.corp", "registry-1.docker.io")}}, want: "withheld from catch.corp"},
		{name: "mirror's login in its header", image: "quay.io/app",
			dirs: []Directory{{Upstream: "quay.io", Hosts: []Host{header(usEast), {Host: "quay.io"}}}}, want: "none"},
		{name: "ECR mirror without fallback", image: "quay.io/app", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts(usEast)}}, want: "ecr"},
		{name: "two names of one registry", image: "quay.io/app", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts(usEast, usEastFIPS, "images.corp")}}, want: "ecr"},
		{name: "two accounts", image: otherAccount + "/app", dirs: []Directory{{Upstream: otherAccount, Hosts: hosts(usEast, otherAccount)}}, want: "withheld from " + otherAccount},
		{name: "ECR and near miss", image: usEast + "/app", dirs: []Directory{{Upstream: usEast, Hosts: hosts(usEast, usEast+".evil.com")}}, want: "withheld from " + usEast + ".evil.com"},
		{name: "Docker Hub itself", image: "docker.io/library/nginx", dirs: []Directory{{Upstream: "docker.io", Hosts: hosts("registry-1.docker.io")}}, want: "docker.io"},
		{name: "one login for both mirrors", image: "quay.io/x", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts("m1.corp", "m2.corp")}}, want: "m1.corp"},
		{name: "same user, other password", image: "quay.io/x", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts("m1.corp", "m3.corp")}}, want: "withheld from m3.corp"},
		{name: "login by the mirror's path", image: "docker.io/library/nginx", key: "docker.io/library/nginx",
			dirs: []Directory{{Upstream: "docker.io", Hosts: []Host{{Host: "harbor.corp", Path: "hub"}}}}, want: "harbor.corp/hub"},
		{name: "another path of the mirror", image: "docker.io/library/nginx",
			dirs: []Directory{{Upstream: "docker.io", Hosts: []Host{{Host: "harbor.corp", Path: "other"}}}}, want: "none"},
		{name: "plain http", image: "m1.corp/x", dirs: []Directory{{Upstream: "m1.corp", Hosts: []Host{insecure("m1.corp")}}}, want: "withheld from m1.corp"},
		{name: "a credential that nobody else wants", image: "m1.corp/x", dirs: []Directory{{Upstream: "m1.corp", Hosts: hosts("m1.corp", "free.corp")}}, want: "withheld from free.corp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := shared()
			r.Directories = c.dirs
			p, err := r.Decide(c.image)
			var withheld *WithheldError
			got := ""
			switch {
			case errors.Is(err, ErrNotServed):
				got = "none"
			case errors.As(err, &withheld):
				got = "withheld from " + withheld.Other
			case err != nil:
				t.Fatal(err)
			case p.Login != nil:
				got = p.Login.Name()
			default:
				got = "ecr"
			}
			if got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			if err == nil && (c.key != "") != p.perImage {
				t.Errorf("for one image only: %t", p.perImage)
			}
			if c.key != "" && p.Image.Name != c.key {
				t.Errorf("the key is %q, want %q", p.Image.Name, c.key)
			}
		})
	}
}

// The remedy depends on the winning directory: to name a registry that is named already does not
// help.
func TestWithheldSaysWhatHelps(t *testing.T) {
	hosts := func(names ...string) (all []Host) {
		for _, n := range names {
			all = append(all, Host{Host: n})
		}
		return all
	}
	const usEast = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	rules := Rules{Registries: []Login{
		{Host: "m1.corp", Username: "u", Password: redact.New("1")}, {Host: "m3.corp", Username: "u", Password: redact.New("3")},
		{Host: "docker.io", Username: "u", Password: redact.New("d"), Token: true},
	}}
	for _, c := range []struct {
		image string
		dir   Directory
		want  string
	}{
		{usEast + "/app", Directory{Upstream: "*", Hosts: hosts("catch.corp"), AndUpstream: true}, "name " + usEast + " under registries, or set upstreamFallback: false"},
		{"quay.io/app", Directory{Upstream: "*", Hosts: hosts("m1.corp"), AndUpstream: true}, `set upstreamFallback: false for the upstream "*"`},
		{"quay.io/app", Directory{Upstream: "quay.io", Hosts: hosts("m1.corp"), AndUpstream: true}, `set upstreamFallback: false for the upstream "quay.io"`},
		{"docker.io/library/x", Directory{Upstream: "docker.io", Hosts: hosts("m2.corp", "docker.io")}, "or remove it from the mirrors of docker.io"},
		{"quay.io/app", Directory{Upstream: "quay.io", Hosts: hosts("m1.corp", "m3.corp")}, "give m3.corp the same login under registries"},
		{"quay.io/app", Directory{Upstream: "quay.io", Hosts: hosts("m1.corp", "m2.corp")}, "give m2.corp the same login under registries"},
		{"docker.io/library/x", Directory{Upstream: "docker.io", Hosts: hosts("docker.io", "(unreadable)")}, "remove the hosts.toml of docker.io"},
	} {
		rules.Directories = []Directory{c.dir}
		_, err := rules.Decide(c.image)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "name ") != strings.HasPrefix(c.want, "name ") {
			t.Errorf("%s through %+v: %v, want %q", c.image, c.dir, err, c.want)
		}
	}
}

// leaks returns the hosts that get a secret that they must not have. It is a second implementation,
// of containerd's behaviour, and shares no code with Decide.
func leaks(r Rules, image string, choose func(Rules, string) (secret string)) []string {
	secret := choose(r, image)
	if secret == "" {
		return nil
	}
	registry, _, _ := strings.Cut(image, "/")
	asked := []string{registry}
	for _, upstream := range []string{"*", registry} { // the latter wins
		for _, d := range r.Directories {
			if d.Upstream == upstream {
				asked = nil
				for _, h := range d.Hosts {
					asked = append(asked, h.Host)
				}
				if d.AndUpstream {
					asked = append(asked, registry)
				}
			}
		}
	}
	var wrong []string
	for _, h := range asked {
		meant := secret == "ecr" && (h == usEast || h == usEastFIPS || h == "images.corp")
		for _, l := range r.Registries {
			meant = meant || l.Host == h && l.Password.Reveal() == secret
		}
		if !meant {
			wrong = append(wrong, h)
		}
	}
	return wrong
}

// TestNothingLeaks tries random directories. The control is a provider that looks at the image's
// name alone: it must be caught.
func TestNothingLeaks(t *testing.T) {
	pool := []string{
		usEast, usEastFIPS, "images.corp", "m1.corp", "m2.corp", "m3.corp", "registry.corp:5555",
		"catch.corp", "quay.io", "evil-" + usEast, usEast + ".evil.com", "x.m1.corp", "m1.corp.evil.com",
	}
	careful := func(r Rules, image string) string {
		p, err := r.Decide(image)
		switch {
		case err != nil:
			return ""
		case p.Login != nil:
			return p.Login.Password.Reveal()
		}
		return "ecr"
	}
	naive := func(r Rules, image string) string {
		r.Directories = nil
		return careful(r, image)
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func() string { return pool[rnd.IntN(len(pool))] }
	served, caught := 0, 0
	for i := range 5000 {
		r := shared()
		for range rnd.IntN(4) {
			d := Directory{Upstream: pick(), AndUpstream: rnd.IntN(2) == 0}
			if rnd.IntN(3) == 0 {
				d.Upstream = "*"
			}
			for range 1 + rnd.IntN(3) {
				d.Hosts = append(d.Hosts, Host{Host: pick(), Header: rnd.IntN(2) == 0})
			}
			if !has(r.Directories, d.Upstream) {
				r.Directories = append(r.Directories, d)
			}
		}
		image := pick() + "/team/app"
		if careful(r, image) != "" {
			served++
		}
		if wrong := leaks(r, image, careful); len(wrong) > 0 {
			t.Fatalf("seed %d, round %d: the secret for %s reaches %q\n%+v", seed, i, image, wrong, r.Directories)
		}
		if len(leaks(r, image, naive)) > 0 {
			caught++
		}
	}
	if served < 500 {
		t.Errorf("only %d images were served: the test shows little", served)
	}
	if caught < 500 {
		t.Errorf("the naive provider was caught only %d times", caught)
	}
}

func has(dirs []Directory, upstream string) bool {
	for _, d := range dirs {
		if d.Upstream == upstream {
			return true
		}
	}
	return false
}

// An identity token and a Bearer token are no answer for kubelet. docker takes the first one.
func TestTokensAreNotPassed(t *testing.T) {
	secret := redact.New("of the issuer")
	p := &Provider{Rules: Rules{
		Registries: []Login{{Host: "registry.corp", Username: "robot", Password: secret}},
		DockerConfig: []Login{
			{Host: "identity.corp", Username: TokenUser, Password: secret},
			{Host: "bearer.corp", Bearer: true, Password: secret},
		},
		Directories: []Directory{
			{Upstream: "docker.io", Hosts: []Host{{Host: "registry.corp"}, {Host: "identity.corp"}}},
			{Upstream: "quay.io", Hosts: []Host{{Host: "identity.corp"}, {Host: "bearer.corp"}}},
		},
	}}
	for image, withheld := range map[string]string{
		"identity.corp/app": "", "bearer.corp/app": "", "quay.io/app": "",
		"docker.io/app": "identity.corp", // never the login of one host to the other
	} {
		_, err := p.Credential(t.Context(), image, Pod{})
		w, ok := errors.AsType[*WithheldError](err)
		if withheld == "" && !errors.Is(err, ErrNotServed) || withheld != "" && (!ok || w.Other != withheld) {
			t.Errorf("%s: %v", image, err)
		}
	}
	if c, err := p.Credential(t.Context(), "registry.corp/app", Pod{}); err != nil || c.Username != "robot" {
		t.Errorf("a password beside them: %q, %v", c.Username, err)
	}
	e, err := p.Explain(t.Context(), "identity.corp/app")
	if err != nil || len(e.Hosts) != 1 || e.Hosts[0].Err != errIdentityToken || !e.Hosts[0].Password.IsZero() {
		t.Errorf("explained as %+v, %v", e, err)
	}
	c, err := p.ServerCredential(t.Context(), "identity.corp")
	if err != nil || c.Username != TokenUser || c.Password != secret {
		t.Errorf("docker gets %q, %v", c.Username, err)
	}
	if _, err = p.ServerCredential(t.Context(), "bearer.corp"); !errors.Is(err, ErrNotServed) || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("docker and a Bearer token: %v", err)
	}
}

func TestRulesSurviveTheirFile(t *testing.T) {
	r := shared()
	r.DockerConfig = []Login{{Host: "x.corp", Username: "x", Password: redact.New("y"), Token: true}, {Host: "y.corp", Bearer: true, Password: redact.New("z")}}
	r.ECRSources = []ecr.Source{
		{InstanceProfile: &ecr.InstanceProfile{}},
		{Static: &ecr.StaticKeys{AccessKeyID: redact.New("A"), SecretAccessKey: redact.New("B"), SessionToken: redact.New("C"), RoleARN: "arn:aws:iam::1:role/r"}},
		{Static: &ecr.StaticKeys{AccessKeyIDFile: "/a", SecretAccessKeyFile: "/b", SessionTokenFile: "/c"}},
		{Static: &ecr.StaticKeys{SharedCredentialsFile: "/d", Profile: "p"}},
	}
	r.Proxy = proxy.Settings{HTTP: redact.New("http://u:p@h"), HTTPS: redact.New("https://h"), No: "corp"}
	r.Directories = []Directory{{Upstream: "*", Hosts: []Host{{Host: "h", Path: "p", Insecure: true, Header: true}}, AndUpstream: true}}
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseRules(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("written %+v\nread    %+v", r, back)
	}
	if shown := fmt.Sprintf("%+v", r); strings.Contains(shown, "u:p@h") || strings.Contains(shown, "p5") {
		t.Errorf("printing the rules shows a secret: %s", shown)
	}
}

func TestBadRules(t *testing.T) {
	for name, content := range map[string]string{
		"garbage": "canary", "empty": "", "future format": `{"version":4,"registries":[{"host":"h","password":"canary"}]}`, "no version": "{}",
		"wrong type": `{"version":1,"registries":"canary"}`,
	} {
		r, err := ParseRules([]byte(content))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := ReadRules(t.TempDir() + "/none.json"); err != nil || !reflect.DeepEqual(r, Rules{Missing: true}) {
		t.Errorf("no file: %+v, %v", r, err)
	}
	if _, err := ReadRules(t.TempDir()); err == nil {
		t.Error("a directory is read as rules")
	}
}

// The rules are read only from a file that other users cannot have written.
func TestReadRules(t *testing.T) {
	good, err := shared().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		make    func(file string) error // instead of a file with the content
		says    string
	}{
		"good":      {content: string(good)},
		"no JSON":   {content: "canary", says: "/rules.json: "},
		"too large": {make: func(f string) error { return errors.Join(file("")(f), os.Truncate(f, maxRules+1)) }, says: "read the rules: "},
		"a link":    {make: func(f string) error { return errors.Join(file(string(good))(f+".real"), os.Symlink(f+".real", f)) }, says: "read the rules: "},
	} {
		path := filepath.Join(t.TempDir(), "rules.json")
		if c.make == nil {
			c.make = file(c.content)
		}
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		r, err := ReadRules(path)
		switch {
		case c.says == "" && (err != nil || !reflect.DeepEqual(r, shared())):
			t.Errorf("%s: %+v, %v", name, r, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") || !reflect.DeepEqual(r, Rules{})):
			t.Errorf("%s: %+v, %v; want an error with %q", name, r, err, c.says)
		}
	}
}
