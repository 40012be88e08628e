package leak

import (
	"math/rand/v2"
	"strings"
)

// generator makes random choices.
type generator struct {
	*rand.Rand
	round  *round
	dir    string
	hosts  []string // that the config names
	serial int
	// focus is a host that many of the choices use, so that several logins, endpoints and images
	// meet on it; "" for none.
	focus string
}

// about returns those of names that belong to the focus, most of the time.
func (d *generator) about(names []string) []string {
	if d.focus == "" || d.chance(30) {
		return names
	}
	var out []string
	for _, n := range names {
		if hostOf(n) == d.focus {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return names
	}
	return out
}

func (d *generator) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d *generator, all ...T) T { return all[d.IntN(len(all))] }

// some returns up to n different elements.
func some(d *generator, n int, all []string) []string {
	var out []string
	for _, i := range d.Perm(len(all))[:min(n, len(all))] {
		out = append(out, all[i])
	}
	return out
}

func ecrNames() []string {
	return []string{
		"111122223333.dkr.ecr.us-east-1.amazonaws.com", "444455556666.dkr.ecr.us-east-1.amazonaws.com",
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "111122223333.dkr.ecr-fips.us-west-2.amazonaws.com",
		"111122223333.dkr-ecr.us-east-1.on.aws", "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "public.ecr.aws",
		"111122223333.dkr.ecr.us-east-1.amazonaws.com:443", "111122223333.dkr.ecr.us-east-1.amazonaws.com:8443",
	}
}

func registryNames() []string {
	return []string{
		"docker.io", "quay.io", "ghcr.io", "registry.k8s.io", "harbor.corp", "harbor.corp:8443", "harbor.corp:443",
		"registry.corp:5000", "plain.corp:5000", "images.corp", "10.9.8.7:5555", "localhost:5000", "mirror.corp", "cache.corp:5000",
	}
}

func loginNames() []string {
	return []string{
		"docker.io", "quay.io", "quay.io/team", "ghcr.io", "harbor.corp", "harbor.corp/team", "harbor.corp/team/app", "harbor.corp:8443",
		"harbor.corp:8443/hub", "registry.corp:5000", "registry.corp:5000/team", "plain.corp:5000", "plain.corp:5000/team",
		"plain.corp:5000/ops", "10.9.8.7:5555/artifactory", "mirror.corp", "mirror.corp/hub", "cache.corp:5000", "localhost:5000",
		"harbor.corp.evil.example", "111122223333.dkr.ecr.eu-west-1.amazonaws.com", "images.corp",
	}
}

func endpointURLs() []string {
	urls := []string{
		"https://mirror.corp", "mirror.corp/hub", "https://mirror.corp/team", "https://cache.corp:5000", "https://cache.corp:5000/api/docker/v2",
		"harbor.corp/hub", "harbor.corp/team", "harbor.corp/team-evil", "https://harbor.corp:8443/v2/team", "https://harbor.corp:443",
		"http://plain.corp:5000", "http://plain.corp:5000/team", "http://plain.corp:5000/team-evil", "10.9.8.7:5555/artifactory",
		"registry.corp:5000/team", "images.corp", "images.corp/docker-hub", "http://images.corp", "localhost:5000", "127.0.0.1:5001/x",
		"https://quay.io", "https://registry-1.docker.io", "http://111122223333.dkr.ecr.us-east-1.amazonaws.com",
	}
	for _, h := range ecrNames() {
		urls = append(urls, "https://"+h, "https://"+h+"/docker-hub")
	}
	return append(urls, nearMisses()[:6]...)
}

// foreignFiles adds foreign directories to certs.d.
func (d *generator) foreignFiles() error {
	if !d.chance(50) {
		return nil
	}
	names := []string{
		"_default", "docker.io", "quay.io", "harbor.corp", "harbor.corp_8443_", "harbor.corp:8443", "registry.corp:5000", "registry.corp_5000_",
		"images.corp", "111122223333.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws", "localhost_5000_",
	}
	for _, name := range some(d, 1+d.IntN(3), names) {
		d.round.foreign++
		body := pick(d,
			"server = \"https://elsewhere.example\"\n\n[host]\n",
			"[host.\"https://elsewhere.example\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
			"server = \"https://harbor.corp\"\n\n[host.\"http://harbor.corp\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
			"server = \"http://registry.corp:5000\"\n\n[host.\"https://111122223333.dkr.ecr.us-east-1.amazonaws.com\"]\n",
			"[host.\"https://registry.corp:5000/v2/team-evil\"]\n  override_path = true\n",
			"[host.\"https://mirror.corp\"]\n  dial_timeout = \"1s\"\n[host.\"https://mirror.corp\".header]\n  X-Org = [\"them\"]\n",
			"[host]\n",
			"this is no TOML\n",
			"", // the directory alone
		)
		if err := d.put(name, body); err != nil {
			return err
		}
	}
	return nil
}

// image returns a random image; most are of registries that the config names.
func (d *generator) image() image {
	registry := ""
	switch n := d.IntN(100); {
	case n < 60 && len(d.hosts) > 0:
		registry = pick(d, d.hosts...)
	case n < 75:
		registry = pick(d, ecrNames()...)
	case n < 87:
		registry = pick(d, nearMisses()...)
	default:
		registry = pick(d, registryNames()...)
	}
	if d.chance(4) && !strings.HasPrefix(registry, "docker.io") {
		registry = strings.ToUpper(registry) // one host, but another directory
	}
	repository := pick(d, "team/app", "team-evil/app", "team/app/x", "team/app-evil", "app", "hub/app", "ops/x", "artifactory/x", "library/nginx")
	if registry == "docker.io" && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	i := image{name: registry + "/" + repository, bare: d.chance(5)}
	i.ref = i.name + pick(d, ":v1", ":v1", "@"+manifestDigest.String())
	return i
}
