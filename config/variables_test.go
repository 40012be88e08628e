package config

import (
	"strings"
	"testing"
)

const withVariables = head + `
mirrors:
- upstream: docker.io
  endpoints:
  - url: http://${NODE_IP}:30020
  - url: https://mirror.${ZONE}.corp/${BERTH_RACK}
defaultRegistry: {url: "${REGION}.corp", for: [quay.io]}
registries:
- host: mirror.${ZONE}.corp
  username: puller
  password: $${ZONE}${HOME}
  tokenRealms: ["auth.${ZONE}.corp"]
ecr: {registries: [{host: "images.${ZONE}.corp", account: "111122223333", region: "${REGION}"}]}
`

func setVariables(t *testing.T) {
	t.Helper()
	t.Setenv("NODE_NAME", "node-1")
	t.Setenv("NODE_IP", "10.0.0.7")
	t.Setenv("ZONE", "eu-west-1a")
	t.Setenv("REGION", "eu-west-1")
	t.Setenv("BERTH_RACK", "r17")
}

func TestVariables(t *testing.T) {
	setVariables(t)
	f := File{Path: "config.yaml", Text: []byte(withVariables)}
	cfg, _, err := f.Parse()
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Registries[0]
	for _, c := range []struct{ got, want string }{
		{cfg.Mirrors[0].Endpoints[0].URL, "http://10.0.0.7:30020"},
		{cfg.Mirrors[0].Endpoints[1].URL, "https://mirror.eu-west-1a.corp/r17"},
		{cfg.DefaultRegistry.URL, "eu-west-1.corp"},
		{r.Host, "mirror.eu-west-1a.corp"},
		{r.TokenRealms[0], "auth.eu-west-1a.corp"},
		{r.Password.Reveal(), "$${ZONE}${HOME}"},
		{cfg.ECR.Registries[0].Host, "images.eu-west-1a.corp"},
		{cfg.ECR.Registries[0].Region, "eu-west-1"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	// A config that is kept with its files is kept with its variables.
	for _, name := range []string{"NODE_IP", "ZONE", "REGION", "BERTH_RACK"} {
		t.Setenv(name, "other")
	}
	kept := File{Path: f.Path, Text: f.Text, Contents: f.Contents, Variables: f.Variables}
	again, _, err := kept.Parse()
	if err != nil || again.Registries[0].Host != r.Host {
		t.Errorf("%v %v", again, err)
	}
	kept.Variables = nil
	if _, _, err := kept.Parse(); err == nil || !strings.Contains(err.Error(), "NODE_IP is not set") {
		t.Errorf("the environment is read for a kept config: %v", err)
	}
}

func TestVariableValues(t *testing.T) {
	const document = head + "mirrors:\n- upstream: docker.io\n  endpoints:\n  - url: "
	for _, c := range []struct{ url, value, want string }{
		{"http://${NODE_IP}:5000", "2001:db8::7", "http://[2001:db8::7]:5000"},
		{"http://[${NODE_IP}]:5000", "2001:db8::7", "http://[2001:db8::7]:5000"},
		{"http://${NODE_IP}:5000", "10.0.0.7", "http://10.0.0.7:5000"},
		{"https://a.corp/x-${NODE_IP}_y", "z.1", "https://a.corp/x-z.1_y"},
		{"https://${NODE_IP}${NODE_IP}.corp", "z", "https://zz.corp"},
		{"https://a.corp", "", "https://a.corp"},
	} {
		t.Setenv("NODE_IP", c.value)
		cfg, _, err := Parse("config.yaml", []byte(document+c.url+"\n"))
		if err != nil || cfg.Mirrors[0].Endpoints[0].URL != c.want {
			t.Errorf("%s with %q: %v %v, want %s", c.url, c.value, cfg, err, c.want)
		}
	}
	const (
		place   = "config.yaml:6:10: mirrors[0].endpoints[0].url: "
		charset = "must be an IP address, or letters"
	)
	for _, c := range []struct{ url, value, want string }{
		{"https://${NODE_IP}.corp", "", place + "${NODE_IP}: the environment variable NODE_IP is empty; " +
			"write NODE_IP=VALUE into /etc/default/berth; in the chart: variables: [NODE_IP]"},
		{"https://${NODE_IP}.corp", "evil.corp/x", charset},
		{"https://${NODE_IP}.corp", "u:hunter2@evil.corp", charset},
		{"https://${NODE_IP}.corp", "evil.corp:5000", charset},
		{"https://${NODE_IP}.corp", "fe80::1%eth0", charset},
		{"https://${NODE_IP}.corp", "evil.corp#", charset},
		{"https://${NODE_IP}.corp", "a\nb", charset},
		{"https://${NODE_IP}.corp", "${ZONE}", charset},
		{"https://${NODE_IP}.corp", ".", charset},
		{"https://x.corp/${NODE_IP}", "..", charset},
		{"https://${NODE_IP}.corp", "a..b", "url: "},
		{"https://${HOME}.corp", "a", "an unknown name; write ${NODE_NAME}, ${NODE_IP}, ${ZONE}, ${REGION}, or a name that begins with BERTH_"},
		{"https://${hunter2}.corp", "a", "an unknown name"},
		{"https://${}.corp", "a", "an unknown name"},
		{"https://${BERTH_}.corp", "a", "an unknown name"},
		{"https://${BERTH_a}.corp", "a", "an unknown name"},
		{"https://$NODE_IP.corp", "a", "host "},
		{"https://${NODE_IP.corp", "a", "host "},
		{"https://$${NODE_IP}.corp", "a", "host "},
		{"https://${BERTH_UNSET}.corp", "a", "BERTH_UNSET is not set; write BERTH_UNSET=VALUE into /etc/default/berth; " +
			"in the chart: extraEnv: [{name: BERTH_UNSET, value: VALUE}]"},
		{"https://${ZONE}.corp", "a", "topology.kubernetes.io/zone, which Kubernetes copies to pods from 1.35 on"},
	} {
		t.Setenv("NODE_IP", c.value)
		_, _, err := Parse("config.yaml", []byte(document+c.url+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), place[:len("config.yaml:6:10: ")]) ||
			!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s with %q: %v, want one error with %q", c.url, c.value, err, c.want)
			continue
		}
		mustHideSecrets(t, err.Error())
	}
}
