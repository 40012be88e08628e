package convert_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/desired"
)

// repositories are requested from every host. The last one has the shortest possible name.
var repositories = []string{"library/nginx", "team/sub/app", "x"}

// TestRoundTrip compares, for every input, the requests of containerd with the source and with the
// result of Convert: the hosts in order, how each is verified, and the login that it gets. The
// output must name each difference, in words about that host and that kind of difference.
func TestRoundTrip(t *testing.T) {
	certs := writeCertificates(t)
	compared, differences := 0, 0
	for _, input := range roundTripInputs(t) {
		t.Run(string(input.format)+"/"+input.name, func(t *testing.T) {
			result, err := convertInput(input.format, input.data)
			if err != nil {
				if input.mustConvert {
					t.Fatal(err)
				}
				return
			}
			cfg := parse(t, certs, result.YAML)
			converted := install(t, cfg)
			output := paragraphs(t, result)
			for _, source := range readSources(t, input.format, input.data, certs) {
				for _, registry := range source.registries() {
					compared++
					was, is := source.asked(t, registry), converted.asked(t, registry)
					for _, d := range compare(registry, was, is) {
						if source.wildcard(registry) {
							d.aspect = "mirrors"
						}
						differences++
						if !named(output, d) {
							t.Errorf("%s is not named:\nwas %s\nis  %s\ninput\n%s\noutput\n%s", d, list(was), list(is), input.data, result.YAML)
						}
					}
				}
			}
		})
	}
	t.Logf("%d registries compared, %d differences named", compared, differences)
	if compared < 1500 || differences < 100 {
		t.Errorf("only %d registries were compared and %d differences found", compared, differences)
	}
}

// TestRoundTripNotices checks that the comparison can fail: an output without its comments and
// losses names no difference.
func TestRoundTripNotices(t *testing.T) {
	was := []hop{{url: "https://h.corp/v2"}, {url: "https://r.corp/v2", skipVerify: true, login: "u:p"}}
	for name, is := range map[string][]hop{
		"hosts": {{url: "https://r.corp/v2", skipVerify: true, login: "u:p"}},
		"order": {was[1], was[0]},
		"http":  {{url: "http://h.corp/v2"}, was[1]},
		"tls":   {was[0], {url: "https://r.corp/v2", login: "u:p"}},
		"login": {was[0], {url: "https://r.corp/v2", skipVerify: true}},
		"only":  {{url: "https://h.corp/v2", only: "pull"}, was[1]},
	} {
		found := compare("r.corp", was, is)
		if len(found) == 0 {
			t.Errorf("%s: no difference is found", name)
		}
		for _, d := range found {
			if named([]paragraph{{text: "h.corp and r.corp are mentioned"}}, d) {
				t.Errorf("%s: %s counts as named", name, d)
			}
		}
	}
	if found := compare("r.corp", was, was); len(found) > 0 {
		t.Errorf("equal lists differ: %v", found)
	}
}

// hop is one host that containerd asks.
type hop struct {
	url                    string // scheme://host/path, the API's root
	skipVerify, ca, client bool
	login                  string   // user:password, "" for none
	only                   string   // "pull" or "resolve" if the host is asked for one of them
	repositories           []string // as requested; nil if unchanged
}

func (a hop) host() string {
	_, rest, _ := strings.Cut(a.url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// requests returns the addresses of the sample repositories.
func (a hop) requests() string {
	var all []string
	for i, r := range repositories {
		if a.repositories != nil {
			r = a.repositories[i]
		}
		scheme, rest, _ := strings.Cut(a.url, "://")
		all = append(all, scheme+"://"+filepath.Clean(rest+"/"+r))
	}
	return strings.Join(all, " ")
}

func list(all []hop) string {
	var out []string
	for _, a := range all {
		out = append(out, fmt.Sprintf("%+v", a))
	}
	return strings.Join(out, "\n    ")
}

// difference is one aspect in which two lists differ.
type difference struct{ aspect, registry, host string }

func (d difference) String() string {
	return fmt.Sprintf("the %s of %s for images of %s", d.aspect, d.host, d.registry)
}

// compare finds the differences. Asking a host again is no difference.
func compare(registry string, was, is []hop) []difference {
	was, is = once(was), once(is)
	requests := func(all []hop) (urls []string) {
		for _, a := range all {
			urls = append(urls, a.requests())
		}
		return urls
	}
	var found []difference
	before, after := requests(was), requests(is)
	if !slices.Equal(before, after) {
		host, aspect := registry, "address"
		if within(after, before) {
			aspect = "mirrors"
		}
		n := 0
		for n < min(len(was), len(is)) && before[n] == after[n] {
			n++
		}
		if own := is[n:]; loopback(registry) && len(was) == n+1 && strings.HasPrefix(before[n], "http:") &&
			len(own) > 0 && own[0].host() == registry && own[0].skipVerify {
			aspect = "machine"
		}
		for _, a := range append(slices.Clone(was), is...) {
			if !slices.Contains(before, a.requests()) || !slices.Contains(after, a.requests()) {
				host = a.host()
				break
			}
		}
		found = append(found, difference{aspect, registry, host})
	}
	for _, a := range was {
		i := slices.Index(after, a.requests())
		if i < 0 {
			continue
		}
		b := is[i]
		if strings.HasPrefix(a.url, "https:") && (a.skipVerify != b.skipVerify || a.ca != b.ca || a.client != b.client) {
			found = append(found, difference{"tls", registry, a.host()})
		}
		if a.only != b.only {
			found = append(found, difference{"address", registry, a.host()})
		}
		if a.login != b.login {
			found = append(found, difference{"login", registry, a.host()})
		}
	}
	return found
}

// within reports whether list is a subsequence of all.
func within(list, all []string) bool {
	for _, one := range all {
		if len(list) > 0 && list[0] == one {
			list = list[1:]
		}
	}
	return len(list) == 0
}

func once(all []hop) (first []hop) {
	for _, a := range all {
		if !slices.ContainsFunc(first, func(b hop) bool { return a.requests() == b.requests() }) {
			first = append(first, a)
		}
	}
	return first
}

// install writes the certs.d of a config.
func install(t *testing.T, cfg *config.Config) resolver {
	t.Helper()
	directories, _ := desired.Directories(cfg, desired.Inputs{})
	certs := t.TempDir()
	desired, err := hostsconf.Build(certs, directories)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range hostsconf.Plan(desired, emptySnapshot) {
		if err := os.MkdirAll(filepath.Dir(c.Path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Path, c.After.Content(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return resolver{dir: certs, login: func(host string, only bool) string {
		// A login that is not in a header comes from the credential provider, which gives it only
		// if no other host is asked.
		for _, r := range cfg.Registries {
			name := r.Host
			if name == "docker.io" {
				name = "registry-1.docker.io"
			}
			if name == host && r.Username != "" && only && r.Auth == config.AuthToken {
				return r.Username + ":" + r.Password.Reveal()
			}
		}
		return ""
	}}
}
