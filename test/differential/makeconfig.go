package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// chance makes random choices, equal for equal seeds.
type chance struct{ *rand.Rand }

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

// in is true in one of n cases.
func (c chance) in(n int) bool { return c.IntN(n) == 0 }

// some returns up to n different elements, at least one.
func some[T any](c chance, n int, from ...T) []T {
	all := slices.Clone(from)
	c.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+c.IntN(min(n, len(all)))]
}

// The names that configs, files and images share.
const (
	ecrEast = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	ecrWest = "444455556666.dkr.ecr.eu-west-1.amazonaws.com"
)

var upstreams = []string{
	"docker.io", "quay.io", "ghcr.io", "registry.k8s.io", "reg.corp", "reg.corp:5000", "reg.corp:443",
	"localhost:5000", "localhost", "127.0.0.1:80", "[::1]:5000", ecrEast, `"*"`,
}

var addresses = []string{
	"mirror.corp", "https://mirror.corp:5000", "http://mirror.corp:5000", "harbor.corp/hub", "https://harbor.corp/v2/hub",
	"http://localhost:5000", "localhost:5000", "127.0.0.1:5000", "https://" + ecrEast + "/docker-hub", ecrWest,
	"https://art.corp/api/docker/hub/v2", "https://Mirror.Corp/", "[2001:db8::1]:5000", "reg.corp:443", "https://quay.io", "https://registry-1.docker.io",
}

var loginHosts = []string{
	"mirror.corp", "mirror.corp:5000", "harbor.corp", "harbor.corp/hub", "harbor.corp/hub/team", "reg.corp", "reg.corp:443", "reg.corp:443/team",
	"reg.corp:5000", "reg.corp/team", "docker.io", "ghcr.io", "quay.io/team", "localhost:5000", "localhost", "127.0.0.1:5000", "[::1]:5000",
	"art.corp", ecrEast, ecrWest, "images.corp", "registry.k8s.io", "10.0.0.1:5000",
}

// config is a RegistryConfig and the files that it names.
type config struct {
	name  string
	text  string
	files map[string]string // beside the config, less the name of the config in theirs
	// path is where it lies below the working directory.
	path string
}

// makeConfig makes a RegistryConfig of relevant parts. Some are invalid.
func makeConfig(c chance, name string) config {
	cfg := config{name: name, path: name, files: map[string]string{
		"password": "s3cret-" + name + "\n",
		"ca.pem":   certificate(1), "cert.pem": certificate(2), "key.pem": privateKey(2),
		"docker.json": dockerConfig(c),
		"aws":         "[default]\naws_access_key_id = " + staticID + "\naws_secret_access_key = " + staticSecret + "\n",
	}}
	var b strings.Builder
	b.WriteString("apiVersion: berth/v1alpha1\nkind: RegistryConfig\n")
	if !c.in(12) {
		b.WriteString("mirrors:\n")
		for _, upstream := range some(c, 4, upstreams...) {
			mirror(c, &b, upstream)
		}
	}
	if c.in(5) {
		fmt.Fprintf(&b, "defaultRegistry:\n  url: %s\n", pick(c, "registry.corp:5555/artifactory", "http://10.0.0.1:5000", "mirror.corp"))
		if c.in(2) {
			fmt.Fprintf(&b, "  for: [%s]\n", pick(c, "docker.io", "gcr.io", `"*"`, "gcr.io, registry.corp"))
		}
		if c.in(2) {
			b.WriteString("  upstreamFallback: false\n")
		}
	}
	if !c.in(4) {
		b.WriteString("registries:\n")
		for _, host := range some(c, 5, loginHosts...) {
			registry(c, &b, host)
		}
	}
	if c.in(4) {
		b.WriteString("dockerConfigFile: FILE-docker.json\n")
	}
	if c.in(4) {
		b.WriteString(pick(c,
			"ecr:\n  credentials:\n  - instanceProfile: {}\n",
			"ecr:\n  credentials:\n  - static: {}\n  - instanceProfile: {}\n",
			"ecr:\n  credentials:\n  - static: {sharedCredentialsFile: FILE-aws}\n",
			"ecr:\n  registries:\n  - {host: images.corp, account: \"111122223333\", region: us-east-1}\n",
			"ecr:\n  registries:\n  - {host: \"mirror.corp:5000\", account: \"111122223333\", region: eu-west-1}\n"))
	}
	if c.in(8) {
		b.WriteString(pick(c, "health: {mode: report}\n", "health: {mode: \"off\"}\n", "health: {interval: 30s, timeout: 5s, failures: 3}\n"))
	}
	if c.in(8) {
		b.WriteString("proxy:\n  noProxy: 10.0.0.0/8,.corp,127.0.0.1\n")
		if c.in(2) {
			b.WriteString("  httpsProxy: http://proxy.corp:3128\n")
		}
	}
	if c.in(3) {
		b.WriteString(pick(c,
			"containerd: {onConflict: adopt}\n", "containerd: {onConflict: adopt}\n",
			"containerd: {certsDir: /var/lib/rancher/k3s/agent/etc/containerd/certs.d}\n",
			"containerd: {certsDir: /opt/hosts, onConflict: report}\n"))
	}
	cfg.text = b.String()
	switch {
	case c.in(8):
		cfg.text = spoil(c, cfg.text)
	case c.in(25):
		cfg.files["password"] = "{\n  \"type\": \"service_account\"\n}\n"
	case c.in(25):
		cfg.path = "conf/" + name
	case c.in(25):
		cfg.text += ownChain(cfg.text)
	}
	cfg.text = strings.ReplaceAll(cfg.text, "FILE-", name+"-")
	return cfg
}

func mirror(c chance, b *strings.Builder, upstream string) {
	fmt.Fprintf(b, "- upstream: %s\n", quoteName(upstream))
	if c.in(4) {
		b.WriteString("  upstreamFallback: false\n")
	}
	b.WriteString("  endpoints:\n")
	for _, url := range some(c, 3, addresses...) {
		fmt.Fprintf(b, "  - url: %q\n", url)
		if c.in(6) {
			fmt.Fprintf(b, "    capabilities: [%s]\n", pick(c, "pull", "pull, resolve", "pull, resolve, push", "resolve"))
		}
		if c.in(6) {
			fmt.Fprintf(b, "    dialTimeout: %s\n", pick(c, "1s", "500ms", "5m"))
		}
		if c.in(8) {
			b.WriteString("    headers: {X-Org: [team-a], X-Api-Key: [s3cr3t]}\n")
		}
		if c.in(10) {
			b.WriteString("    overridePath: true\n")
		}
	}
}

func registry(c chance, b *strings.Builder, host string) {
	fmt.Fprintf(b, "- host: %q\n", host)
	isECR := strings.Contains(host, ".dkr.ecr.")
	if !isECR && !c.in(4) {
		fmt.Fprintf(b, "  username: %s\n", pick(c, "u", "team+robot"))
		b.WriteString(pick(c, "  password: hunter2\n", "  passwordFile: FILE-password\n"))
		if c.in(3) {
			fmt.Fprintf(b, "  auth: %s\n", pick(c, "auto", "basic", "token"))
		}
	}
	switch c.IntN(8) {
	case 0:
		b.WriteString("  tls: {caFile: FILE-ca.pem}\n")
	case 1:
		b.WriteString("  tls: {certFile: FILE-cert.pem, keyFile: FILE-key.pem}\n")
	case 2:
		b.WriteString("  tls: {insecureSkipVerify: true}\n")
	case 3:
		fmt.Fprintf(b, "  plainHTTP: %v\n", c.in(2))
	}
	if c.in(2) {
		b.WriteString("  allowPlainHTTPCredentials: true\n")
	}
}

// ownChain returns an entry for an ECR registry with its own credentials.
func ownChain(text string) string {
	if strings.Contains(text, "registries:\n- host") {
		return ""
	}
	return "registries:\n- host: " + ecrWest + "\n  ecr: {credentials: [{static: {}}]}\n"
}

func quoteName(upstream string) string {
	if strings.HasPrefix(upstream, `"`) {
		return upstream
	}
	return fmt.Sprintf("%q", upstream)
}

// dockerConfig returns a pull secret; some have an entry that cannot be used.
func dockerConfig(c chance) string {
	auths := []string{`"https://index.docker.io/v1/": {"auth": "aHViOmh1YnBhc3M="}`, `"harbor.corp": {"username": "h", "password": "hp"}`}
	auths = append(auths, pick(c, `"quay.io/team": {"auth": "cXVheTpxcA=="}`, `"reg.corp:5000": {"auth": "cmVnOnJw"}`, `"https://ghcr.io/v2/": {"auth": "Z2g6Z3A="}`))
	if c.in(6) {
		auths = append(auths, pick(c, `"*.corp": {"auth": "cmVnOnJw"}`, `"bad.corp": {"auth": "%%%"}`, `"tok.corp": {"identitytoken": "t"}`))
	}
	return `{"auths": {` + strings.Join(auths, ", ") + "}}\n"
}

// spoil makes one mistake.
func spoil(c chance, text string) string {
	replace := func(old, new string) string { return strings.Replace(text, old, new, 1) }
	switch c.IntN(14) {
	case 0:
		return replace("berth/v1alpha1", "berth/v1")
	case 1:
		return replace("kind: RegistryConfig", "kind: Registry")
	case 2:
		return replace("  - url: ", "  - url: ftp://mirror.corp\n  - url: ")
	case 3:
		return replace("  - url: ", "  - url: https://u:p4ss@mirror.corp\n  - url: ")
	case 4:
		return replace("endpoints:", "endpoint:")
	case 5:
		return replace("    dialTimeout: ", "    dialTimout: ") + "health: {interval: 2}\n"
	case 6:
		return replace("FILE-password", "missing")
	case 7:
		return replace("FILE-ca.pem", "FILE-password")
	case 8:
		return replace("- host: ", "- host: https://")
	case 9:
		return text + "kind: RegistryConfig\n"
	case 10:
		return text + "  bad indent: [\n"
	case 11:
		return replace("docker.io\"\n", "index.docker.io\"\n")
	case 12:
		return text + "containerd: {certsDir: relative}\n"
	}
	return replace("username: u", "username: \"u:x\"")
}
