package convert_test

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
	"github.com/berth-registry/berth/hostsconf"
)

// TestMeaning pins the meaning of each result by the addresses that are asked, not by their
// spelling.
func TestMeaning(t *testing.T) {
	certs := writeCertificates(t)
	for _, test := range []struct{ name, want string }{
		{"rke/forms", `
			registry registry.com plain:one auto
			registry registry.com:5555 port:12345 auto
			registry 1.1.1.1 address:yes auto
			registry 1.1.1.1:5555/artifactory path:p: #4'"\ auto
			registry scheme.corp:8443/team scheme:0x1F auto
			registry nologin.corp auto
			ecr profile, environment`},
		{"rke/dockerhub", `
			registry docker.io u:p token
			ecr profile, environment`},
		{"rke/dockerhub-named", `
			registry docker.io u:p token
			ecr profile, environment`},
		{"rke/example", `
			default https://registry.com:5000/v2/team/ for docker.io, then upstream
			registry docker.io u:p token
			registry registry.com:5000/team a:b auto
			registry 111122223333.dkr.ecr.eu-west-1.amazonaws.com auto
			ecr profile, AKIAEXAMPLE:SECRETEXAMPLE:`},
		{"rke/default-twice", `
			default https://first.corp/v2/ for docker.io, then upstream
			registry first.corp auto
			registry second.corp:5000 s:t auto
			ecr profile, environment`},
		{"rke/same-twice", `
			default https://registry.corp/v2/ for docker.io, then upstream
			registry registry.corp new:new auto
			registry other.corp auto
			ecr profile, environment`},
		{"rke/kubelet-env", `
			default https://111122223333.dkr.ecr.us-east-1.amazonaws.com/v2/ for docker.io, then upstream
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com auto
			ecr profile, AKIAEXAMPLE:SECRET=EXAMPLE/+:TOKENEXAMPLE`},
		{"rke/keys-conflict", `
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com auto ecr AKIATWO:SECRETTWO:
			registry 444455556666.dkr.ecr.eu-west-1.amazonaws.com auto
			ecr profile, AKIAONE:SECRETONE:`},
		{"rke/two-ecr", `
			default https://111122223333.dkr.ecr.eu-west-1.amazonaws.com/v2/ for docker.io, then upstream
			registry 111122223333.dkr.ecr.eu-west-1.amazonaws.com auto ecr AKIAEXAMPLEEXAMPLE01:exampleSecretOne:
			registry 444455556666.dkr.ecr.us-east-1.amazonaws.com auto ecr AKIAEXAMPLEEXAMPLE02:exampleSecretTwo:
			ecr profile, environment`},
		{"rke/ecr-paths", `
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com/team auto
			registry 111122223333.dkr-ecr.us-east-1.on.aws auto
			registry 444455556666.dkr.ecr.us-east-1.amazonaws.com auto ecr AKIATWO:SECRETTWO:
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com auto ecr AKIAONE:SECRETONE:
			ecr profile, environment`},
		{"rke/plain-http", `
			default http://registry.corp:5000/v2/ for docker.io, then upstream
			registry registry.corp:5000 a:b auto http allowed
			ecr profile, environment`},
		{"k3s/forms", `
			mirror docker.io: https://mirror.corp:5000/v2/ https://harbor.corp/v2/hub/ https://art.corp/api/docker/hub/v2/ https://odd.corp/root/ http://plain.corp:5000/v2/ http://localhost:5000/v2/ https://127.0.0.1/v2/ https://slash.corp/v2/, then upstream
			mirror quay.io: https://mirror.corp:5000/v2/, then upstream
			mirror *: https://catch.corp/v2/all/, then upstream
			registry registry.corp:5000 auto http
			ecr profile, environment`},
		{"k3s/configs", `
			mirror docker.io: https://mirror.corp:5000/v2/, then upstream
			registry mirror.corp:5000 user:12345 auto ca cert
			registry docker.io hub:pa:ss token
			registry ghcr.io robot:null token
			registry skip.corp auto skip
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com AWS:token auto
			ecr profile, environment`},
		{"k3s/plain-http-login", `
			mirror docker.io: http://10.0.0.5:5000/v2/ http://localhost:5000/v2/, then upstream
			registry 10.0.0.5:5000 u:p auto allowed
			registry registry.corp:5000 u:p auto skip
			registry localhost:5000 u:p auto http
			ecr profile, environment`},
		{"containerd/version1", `
			mirror docker.io: https://mirror.corp/v2/, then upstream
			mirror own.corp: https://own.corp/cache/, then upstream
			registry padded.corp u:p auto
			registry mirror.corp old:style auto
			ecr profile, environment`},
		{"containerd/version2", `
			mirror docker.io: https://mirror.corp:5000/v2/ https://odd.corp/prefix/ https://harbor.corp/v2/hub/ https://art.corp/api/docker/hub/v2/ http://10.0.0.5:5000/v2/ http://localhost:5000/v2/, then upstream
			mirror self.corp: https://self.corp/v2/ https://mirror.corp:5000/v2/
			mirror plain.corp: https://mirror.corp:5000/v2/, then upstream
			registry mirror.corp:5000 user:pass auto ca cert
			registry 10.0.0.5:5000 u:p auto skip allowed
			registry registry.corp:5000 auto http
			registry plain.corp auto http
			ecr profile, environment`},
		{"containerd/version3", `
			registry docker.io hub:secret token
			ecr profile, environment
			directory /srv/certs.d`},
		{"containerd/version4", `
			mirror quay.io: https://mirror.corp/v2/, then upstream
			ecr profile, environment`},
		{"containerd/wildcard", `
			mirror *: https://catch.corp/v2/all/, then upstream
			mirror quay.io: https://catch.corp/v2/all/, then upstream
			registry quay.io robot:secret token
			registry catch.corp robot:secret auto
			registry ghcr.io auto
			registry docker.io auto
			ecr profile, environment`},
		{"containerd/headers", `
			mirror docker.io: https://mirror.corp/v2/ map[X-Meta-Token:[hunter2] X-Org:[team-a team-b]], then upstream
			ecr profile, environment`},
		{"containerd/dockerhub", `
			mirror docker.io: https://registry-1.docker.io/v2/ https://mirror.corp/v2/
			registry docker.io hub:secret token
			ecr profile, environment`},
		{"k3s/anchors", `
			mirror docker.io: https://mirror.corp/v2/, then upstream
			mirror quay.io: https://mirror.corp/v2/, then upstream
			registry mirror.corp shared:secret auto
			registry other.corp shared:secret auto skip
			ecr profile, environment`},
		{"rke/anchors", `
			registry one.corp shared:secret auto
			registry two.corp other:secret auto
			ecr profile, environment`},
		{"rke/instance-profile", `
			default https://111122223333.dkr.ecr.us-east-1.amazonaws.com/v2/ for docker.io, then upstream
			registry 111122223333.dkr.ecr.us-east-1.amazonaws.com auto
			ecr profile, environment`},
		{"containerd/dockerhub-tls", `
			mirror docker.io: https://cache.corp.example/v2/, then upstream
			ecr profile, environment`},
		{"containerd/loopback", `
			registry localhost:5000 auto http
			ecr profile, environment`},
		{"k3s/loopback", `
			ecr profile, environment`},
		{"k3s/http-tls", `
			mirror docker.io: https://cache.corp.example:5000/v2/ http://cache.corp.example:5000/v2/, then upstream
			mirror insecure.corp:5000: https://insecure.corp:5000/v2/ http://insecure.corp:5000/v2/, then upstream
			mirror quay.io: http://cache.corp.example:80/v2/, then upstream
			registry cache.corp.example:5000 auto skip
			registry insecure.corp:5000 auto skip
			registry cache.corp.example:80 auto skip
			ecr profile, environment`},
		{"k3s/http-tls-login", `
			mirror docker.io: https://cache.corp.example:5000/v2/, then upstream
			registry cache.corp.example:5000 u:p auto skip
			ecr profile, environment`},
		{"k3s/rewrite-prefix", `
			mirror docker.io: https://git.corp.example:443/v2/group/dependency_proxy/containers/, then upstream
			mirror virt.corp.example: https://reg1.corp.example/v2/, then upstream
			ecr profile, environment`},
		{"rke/fields", `
			default https://harbor.corp.example/v2/ for docker.io, then upstream
			registry 444455556666.dkr.ecr.eu-west-1.amazonaws.com auto
			registry harbor.corp.example u:p auto
			ecr profile, AKIAEXAMPLEEXAMPLE01:exampleSecret:`},
		{"rke/rancher-empty-plugin", `
			default https://harbor.corp.example/v2/ for docker.io, then upstream
			registry harbor.corp.example me:pw auto
			ecr profile, environment`},
		{"rancher/cluster", `
			mirror docker.io: https://harbor.corp.example/v2/hub/, then upstream
			registry harbor.corp.example auto
			registry skip.corp.example:5000 auto skip
			ecr profile, environment`},
		{"docker/daemon", `
			mirror docker.io: https://mirror.corp/v2/ http://10.0.0.5:5000/v2/ https://art.corp/api/docker/hub/v2/, then upstream
			ecr profile, environment`},
		{"docker/insecure", `
			mirror docker.io: https://mirror.corp:5000/v2/ https://10.1.2.3/v2/ https://secure.corp/v2/, then upstream
			mirror mirror.corp:5000: https://mirror.corp:5000/v2/ http://mirror.corp:5000/v2/
			mirror registry.corp: https://registry.corp/v2/ http://registry.corp/v2/
			mirror scheme.corp:5000: https://scheme.corp:5000/v2/ http://scheme.corp:5000/v2/
			mirror 10.1.2.3: https://10.1.2.3/v2/ http://10.1.2.3/v2/
			registry mirror.corp:5000 auto skip
			registry registry.corp auto skip
			registry scheme.corp:5000 auto skip
			registry 111122223333.dkr.ecr.eu-west-1.amazonaws.com auto skip
			registry 10.1.2.3 auto skip
			ecr profile, environment`},
		{"docker/directory", `
			mirror docker.io: https://mirror.corp:5000/v2/, then upstream
			mirror both.corp: https://both.corp/v2/ http://both.corp/v2/
			registry both.corp auto skip
			registry mirror.corp:5000 auto ca
			registry registry.corp auto ca cert
			ecr profile, environment`},
		{"docker/proxy", `
			mirror docker.io: https://mirror.corp/v2/, then upstream
			ecr profile, environment
			proxy http://user:hunter2@proxy.corp:3128, http://user:hunter2@proxy.corp:3128, but for 10.0.0.0/8,.corp`},
		{"certs.d/mirrors", `
			mirror docker.io: https://mirror.corp/v2/ map[X-Key:[hunter2] X-Org:[team-a team-b]] 3s https://harbor.corp/hub/v2/ [pull] https://git.corp/proxy/ [pull resolve push] http://10.0.0.5:5000/v2/ https://bare.corp/, then upstream
			mirror quay.io: https://skip.corp:8443/v2/ https://harbor.corp/quay/v2/
			registry registry.corp:5000 auto http
			registry certs.corp auto ca cert
			registry mirror.corp puller:hunter2 auto ca cert
			registry login.corp:8443 u:hunter2 auto
			registry own.corp auto ca
			registry skip.corp:8443 auto skip
			ecr profile, environment`},
		{"certs.d/same-host", `
			mirror docker.io: https://mirror.corp/hub/v2/ https://mirror.corp/other/v2/ https://skip.corp/v2/, then upstream
			mirror quay.io: https://mirror.corp/quay/v2/ https://skip.corp/v2/, then upstream
			registry mirror.corp one:hunter2 auto ca
			ecr profile, environment`},
		{"certs.d/wildcard-server", `
			mirror *: http://first.corp/v2/ https://catch.corp/v2/
			registry catch.corp u:hunter2 auto ca
			ecr profile, environment`},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", test.name+".in"))
			if err != nil {
				t.Fatal(err)
			}
			result, err := convertInput(convert.Format(path.Dir(test.name)), data)
			if err != nil {
				t.Fatal(err)
			}
			got := meaning(t, parse(t, certs, result.YAML))
			want := strings.TrimPrefix(strings.ReplaceAll(test.want, "\t", ""), "\n") + "\n"
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// meaning describes a config by the hosts that are asked and the logins that they get.
func meaning(t *testing.T, cfg *config.Config) string {
	t.Helper()
	var b strings.Builder
	fallback := map[bool]string{true: ", then upstream"}
	for _, m := range cfg.Mirrors {
		fmt.Fprintf(&b, "mirror %s:", m.Upstream)
		for _, e := range m.Endpoints {
			fmt.Fprintf(&b, " %s", asked(t, e.URL, e.OverridePath))
			if len(e.Headers) > 0 {
				fmt.Fprintf(&b, " %v", e.Headers)
			}
			if strings.Join(e.Capabilities, " ") != "pull resolve" {
				fmt.Fprintf(&b, " %v", e.Capabilities)
			}
			if e.DialTimeout.String() != "2s" {
				fmt.Fprintf(&b, " %s", e.DialTimeout)
			}
		}
		fmt.Fprintf(&b, "%s\n", fallback[m.UpstreamFallback])
	}
	if d := cfg.DefaultRegistry; d != nil {
		fmt.Fprintf(&b, "default %s for %s%s\n", asked(t, d.URL, false), strings.Join(d.For, ","), fallback[d.UpstreamFallback])
	}
	for _, r := range cfg.Registries {
		fmt.Fprintf(&b, "registry %s", r.Host)
		if r.Username != "" {
			fmt.Fprintf(&b, " %s:%s", r.Username, r.Password.Reveal())
		}
		fmt.Fprintf(&b, " %s", r.Auth)
		for _, flag := range []struct {
			set  bool
			word string
		}{{r.TLS.CA != nil, "ca"}, {r.TLS.Cert != nil, "cert"}, {r.TLS.InsecureSkipVerify, "skip"}, {r.PlainHTTP, "http"}, {r.AllowPlainHTTPCredentials, "allowed"}} {
			if flag.set {
				b.WriteString(" " + flag.word)
			}
		}
		if r.ECR != nil {
			b.WriteString(" ecr " + chain(r.ECR.Credentials))
		}
		b.WriteString("\n")
	}
	b.WriteString("ecr " + chain(cfg.ECR.Credentials) + "\n")
	if p := cfg.Proxy; !p.HTTPProxy.IsZero() || !p.HTTPSProxy.IsZero() || p.NoProxy != "" {
		fmt.Fprintf(&b, "proxy %s, %s, but for %s\n", p.HTTPProxy.Reveal(), p.HTTPSProxy.Reveal(), p.NoProxy)
	}
	if cfg.Containerd.CertsDir != "/etc/containerd/certs.d" {
		fmt.Fprintf(&b, "directory %s\n", cfg.Containerd.CertsDir)
	}
	return b.String()
}

// chain describes sources of AWS credentials.
func chain(credentials []config.ECRCredential) string {
	var b strings.Builder
	for i, c := range credentials {
		if i > 0 {
			b.WriteString(", ")
		}
		switch k := c.Static; {
		case k == nil:
			b.WriteString("profile")
		case k.AccessKeyID.IsZero():
			b.WriteString("environment")
		default:
			fmt.Fprintf(&b, "%s:%s:%s", k.AccessKeyID.Reveal(), k.SecretAccessKey.Reveal(), k.SessionToken.Reveal())
		}
	}
	return b.String()
}

// asked returns the address to which containerd sends requests for an endpoint.
func asked(t *testing.T, written string, override bool) string {
	t.Helper()
	u, err := hostsconf.ParseURL(written, override)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host + u.APIPath() + "/"
}

// TestEndpointAddress compares the addresses that Berth asks with those that k3s and containerd
// asked by their own rules.
func TestEndpointAddress(t *testing.T) {
	authorities := []string{"mirror.corp", "mirror.corp:5000", "localhost", "localhost:443", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "10.0.0.1:80"}
	paths := []string{"", "/", "/v2", "/v2/", "/v2/hub", "/v2/hub/", "/hub", "/hub/", "/hub/v2", "/a/b/v2/", "/v2/x/v2", "/v2hub", "/hub/../x", "//x//y", "/V2"}
	schemes := []string{"", "http://", "https://"}
	rules := map[convert.Format]func(*url.URL, bool) string{
		convert.K3s:        askedByK3s,
		convert.Containerd: askedByContainerd,
	}
	for format, rule := range rules {
		for _, scheme := range schemes {
			for _, authority := range authorities {
				for _, p := range paths {
					if format == convert.Containerd && p == "/" {
						continue // corrected on purpose, see the golden file
					}
					endpoint := scheme + authority + p
					parsed, err := url.Parse("//" + authority + p)
					if scheme != "" {
						parsed, err = url.Parse(endpoint)
					}
					if err != nil {
						t.Fatal(err)
					}
					want := rule(parsed, scheme != "")
					if got := convertedEndpoint(t, format, endpoint); got != want {
						t.Errorf("%s: endpoint %q is asked at %s, want %s", format, endpoint, got, want)
					}
				}
			}
		}
	}
}

// askedByK3s follows normalizeEndpointAddress in k3s' pkg/agent/containerd, and
// then containerd's reading of hosts.toml.
func askedByK3s(u *url.URL, hasScheme bool) string {
	if !hasScheme {
		u.Scheme = "https"
		if local(u.Hostname()) && u.Port() != "" && u.Port() != "443" {
			u.Scheme = "http"
		}
	}
	api := path.Clean(u.Path)
	switch u.Path {
	case "", "/", "/v2":
		api = "/v2"
	}
	return u.Scheme + "://" + u.Host + api + "/"
}

// askedByContainerd follows registryHosts in containerd's image_pull.go.
func askedByContainerd(u *url.URL, hasScheme bool) string {
	if !hasScheme {
		u.Scheme = "https"
		if local(u.Hostname()) {
			u.Scheme = "http"
		}
	}
	if u.Path == "" {
		u.Path = "/v2"
	}
	return u.Scheme + "://" + u.Host + path.Join("/", u.Path) + "/"
}

func local(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

func convertedEndpoint(t *testing.T, format convert.Format, endpoint string) string {
	t.Helper()
	input := fmt.Sprintf("mirrors: {quay.io: {endpoint: [%q]}}", endpoint)
	if format == convert.Containerd {
		input = fmt.Sprintf("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'quay.io']\nendpoint = [%q]", endpoint)
	}
	result, err := convert.Convert(format, "-", []byte(input), convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, "", result.YAML)
	if len(cfg.Mirrors) != 1 || len(cfg.Mirrors[0].Endpoints) != 1 {
		t.Fatalf("%q gives no endpoint:\n%s", endpoint, result.YAML)
	}
	e := cfg.Mirrors[0].Endpoints[0]
	return asked(t, e.URL, e.OverridePath)
}
