package leak

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/agent"
	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/test/fakeaws"
)

// round is one node: a config as it was drawn, the files that Berth wrote for
// it, and the images that are pulled.
type round struct {
	id   string
	root string
	file string // the RegistryConfig

	logins     []login
	secrets    []secret
	plainHosts map[string]bool // hosts that a credential may reach over plain http
	ecrNames   map[string]scope
	mirrored   map[string][]string // upstream → hosts of its endpoints
	foreign    int                 // directories that somebody else wrote
	images     []image

	certsDir string
	// spoken is all that Berth said: errors, logs, what people are shown.
	spoken bytes.Buffer
}

// image is what a pod asks for.
type image struct {
	name string // without tag
	ref  string // as containerd gets it
	// bare images are pulled without kubelet's credential, as the sandbox
	// image is.
	bare bool
}

// errRefused says that Berth refused the config as one that would send a
// credential over plain http: nothing can leak, so another one is drawn.
var errRefused = errors.New("refused config")

// newRound draws a config, with what stands in certs.d before, and images for
// it. dir gets the config and the files that it names.
func newRound(rnd *rand.Rand, id, dir string, fake *fakeaws.Server, images int) (*round, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &round{
		id: id, root: filepath.Join(dir, "node"), file: filepath.Join(dir, "config.yaml"),
		plainHosts: map[string]bool{}, ecrNames: map[string]scope{}, mirrored: map[string][]string{},
	}
	r.certsDir = filepath.Join(r.root, "etc/containerd/certs.d")
	d := &draw{Rand: rnd, round: r, dir: dir}
	document := d.config(fake)
	b, err := json.Marshal(document) // JSON is YAML
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(r.file, b, 0o600); err != nil {
		return nil, err
	}
	if err := d.foreignFiles(); err != nil {
		return nil, err
	}
	for range images {
		r.images = append(r.images, d.image())
	}
	return r, nil
}

// apply does what `berth apply` does.
func (r *round) apply(ctx context.Context) error {
	cfg, warnings, err := config.Load(r.file)
	if err != nil {
		fmt.Fprintln(&r.spoken, err)
		if strings.Contains(err.Error(), "over plain http to another machine") {
			return errRefused
		}
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(&r.spoken, w)
	}
	m, err := agent.Open(r.root)
	if err != nil {
		return err
	}
	defer m.Close()
	log := slog.New(slog.NewJSONHandler(&r.spoken, &slog.HandlerOptions{Level: slog.LevelDebug}))
	result, err := m.Apply(ctx, cfg, log)
	fmt.Fprintf(&r.spoken, "%+v\n%+v\n%v\n", result.Summary(), result.Plan.Notices, err)
	var noToken *agent.TokenError
	if err != nil && !errors.As(err, &noToken) {
		return err
	}
	return nil
}

// draw makes random choices.
type draw struct {
	*rand.Rand
	round  *round
	dir    string
	hosts  []string // that the config names
	serial int
	// focus is a host that many of the choices are about, so that several
	// logins, endpoints and images meet on it; "" for none.
	focus string
}

// about gives those of names that are about the focus, most of the time.
func (d *draw) about(names []string) []string {
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

func (d *draw) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d *draw, all ...T) T { return all[d.IntN(len(all))] }

// some gives up to n different ones.
func some(d *draw, n int, all []string) []string {
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

type object = map[string]any

func (d *draw) config(fake *fakeaws.Server) object {
	c := object{"apiVersion": config.APIVersion, "kind": config.Kind}
	d.focus = pick(d, "", "", "harbor.corp", "harbor.corp:8443", "plain.corp:5000", "plain.corp:5000", "mirror.corp", "images.corp")
	var mirrors []object
	used := map[string]bool{}
	upstreams := append(append(registryNames(), ecrNames()...), nearMisses()...)
	for _, upstream := range some(d, d.IntN(4), upstreams) {
		mirrors = append(mirrors, d.mirror(upstream))
		used[upstream] = true
	}
	if d.chance(40) {
		mirrors = append(mirrors, d.mirror("*"))
		used["*"] = true
	}
	if len(mirrors) > 0 {
		c["mirrors"] = mirrors
	}
	if d.chance(25) {
		var free []string
		for _, name := range []string{"docker.io", "quay.io", "*"} {
			if !used[name] {
				free = append(free, name)
			}
		}
		if len(free) > 0 {
			url := pick(d, endpointURLs()...)
			instead := some(d, 1+d.IntN(2), free)
			c["defaultRegistry"] = object{"url": url, "for": instead, "upstreamFallback": d.chance(50)}
			for _, upstream := range instead {
				d.mirrorsTo(upstream, url)
			}
		}
	}
	var registries []object
	for _, name := range some(d, 1+d.IntN(6), d.about(loginNames())) {
		registries = append(registries, d.registry(name))
	}
	c["registries"] = registries
	if d.chance(40) {
		c["dockerConfigFile"] = d.dockerConfig(registries)
	}
	c["ecr"] = d.ecr(fake)
	c["containerd"] = object{"onConflict": pick(d, "report", "report", "report", "adopt")}
	return c
}

func (d *draw) mirror(upstream string) object {
	m := object{"upstream": upstream, "upstreamFallback": d.chance(60)}
	var endpoints []object
	seen := map[string]bool{}
	for _, url := range some(d, 1+d.IntN(3), d.about(endpointURLs())) {
		e := object{"url": url}
		if d.chance(20) {
			e["headers"] = object{"X-Org": []string{"team-a"}}
		}
		if d.chance(10) {
			e["overridePath"] = true
		}
		if d.chance(10) {
			e["capabilities"] = []string{"pull"}
		}
		if d.chance(20) {
			e["dialTimeout"] = "1s"
		}
		if host := hostOf(url); !seen[host] { // one url may be another one's other spelling
			seen[host] = true
			endpoints = append(endpoints, e)
			d.mirrorsTo(upstream, url)
		}
	}
	m["endpoints"] = endpoints
	return m
}

func (d *draw) mirrorsTo(upstream, url string) {
	host := hostOf(url)
	d.round.mirrored[upstream] = append(d.round.mirrored[upstream], host)
	d.hosts = append(d.hosts, host)
	if upstream != "*" {
		d.hosts = append(d.hosts, upstream)
	}
}

func hostOf(url string) string {
	url = strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
	host, _, _ := strings.Cut(url, "/")
	return host
}

// newLogin draws a login; sometimes one password serves two hosts.
func (d *draw) newLogin(name string) login {
	host, path, _ := strings.Cut(name, "/")
	l := login{host: host, path: path}
	if n := len(d.round.logins); n > 0 && d.chance(15) {
		l.username, l.password = d.round.logins[n-1].username, d.round.logins[n-1].password
		return l
	}
	d.serial++
	l.username = fmt.Sprintf("user%d", d.serial)
	l.password = fmt.Sprintf("%s-%s-%d", canary, d.round.id, d.serial)
	return l
}

func (d *draw) registry(name string) object {
	l := d.newLogin(name)
	r := object{"host": name, "auth": pick(d, "auto", "basic", "token")}
	d.hosts = append(d.hosts, l.host)
	plain := strings.HasPrefix(name, "plain.") || name == "images.corp"
	if plain && d.chance(60) {
		r["allowPlainHTTPCredentials"] = true
		l.plain, d.round.plainHosts[l.host] = true, true
	}
	if plain && d.chance(50) {
		r["plainHTTP"] = true
	}
	if d.chance(20) {
		return r // a registry without a login
	}
	r["username"] = l.username
	if d.chance(50) {
		r["password"] = l.password
	} else {
		file := filepath.Join(d.dir, fmt.Sprintf("password%d", len(d.round.logins)))
		if os.WriteFile(file, []byte(l.password+"\n"), 0o600) == nil {
			r["passwordFile"] = file
		}
	}
	d.owns(l)
	return r
}

// owns adds a login and makes it an owner of its password.
func (d *draw) owns(l login) {
	r := d.round
	r.logins = append(r.logins, l)
	for i := range r.secrets {
		if r.secrets[i].value == l.password {
			r.secrets[i].owners = append(r.secrets[i].owners, l)
			return
		}
	}
	r.secrets = append(r.secrets, secret{
		what: "the login of " + l.host + "/" + l.path, value: l.password, owners: []login{l},
	})
}

// dockerConfig writes a pull secret. Its logins may go over plain http where an
// entry of registries says so for all of the path.
func (d *draw) dockerConfig(registries []object) string {
	auths := object{}
	for _, name := range some(d, 1+d.IntN(3), d.about(loginNames())) {
		l := d.newLogin(name)
		for _, r := range registries {
			covers := strings.HasPrefix(name+"/", r["host"].(string)+"/")
			l.plain = l.plain || covers && r["allowPlainHTTPCredentials"] == true
		}
		d.hosts = append(d.hosts, l.host)
		d.owns(l)
		auths[name] = object{"auth": base64.StdEncoding.EncodeToString([]byte(l.username + ":" + l.password))}
	}
	b, err := json.Marshal(object{"auths": auths})
	file := filepath.Join(d.dir, "pull-secret.json")
	if err != nil || os.WriteFile(file, b, 0o600) != nil {
		return filepath.Join(d.dir, "cannot-be-written") // the config then cannot be loaded, which fails the trial
	}
	return file
}

// ecr draws where tokens come from: keys of this round alone, which work, or
// the instance profile first, or keys that AWS refuses.
func (d *draw) ecr(fake *fakeaws.Server) object {
	key := fakeaws.Key{ID: "AKIA" + strings.ToUpper(d.round.id), Secret: canary + "-aws-" + d.round.id}
	fake.AddKey(key)
	d.round.secrets = append(d.round.secrets, secret{what: "the AWS key", value: key.Secret})
	static := object{"static": object{"accessKeyID": key.ID, "secretAccessKey": key.Secret}}
	e := object{"credentials": []object{static}}
	switch n := d.IntN(100); {
	case n < 10:
		fake.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: key.ID, Status: 400, Code: "AccessDeniedException", Message: "User: arn:aws:iam::1:user/x is not authorized, key " + key.Secret})
	case n < 50:
		e["credentials"] = []object{{"instanceProfile": object{}}, static}
	}
	if d.chance(30) {
		region := pick(d, "us-east-1", "eu-west-1")
		e["registries"] = []object{{"host": "images.corp", "account": "111122223333", "region": region}}
		d.round.ecrNames["images.corp"] = scope{"ecr", region}
		d.hosts = append(d.hosts, "images.corp")
	}
	return e
}

// foreignFiles puts directories into certs.d that somebody else wrote.
func (d *draw) foreignFiles() error {
	if !d.chance(35) {
		return nil
	}
	names := []string{
		"_default", "docker.io", "quay.io", "harbor.corp", "harbor.corp_8443_", "harbor.corp:8443", "registry.corp:5000", "registry.corp_5000_",
		"images.corp", "111122223333.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws", "localhost_5000_",
	}
	for _, name := range some(d, 1+d.IntN(3), names) {
		dir := filepath.Join(d.round.certsDir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
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
		if body == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(body), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// image draws one; most are of registries that the config names.
func (d *draw) image() image {
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

// wideFiles lists files below the node that hold a secret and that others can
// read.
func wideFiles(root string) (wide []string, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			return nil // Berth has written nothing
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && shows(string(b)) {
			wide = append(wide, path)
		}
		return err
	})
	return wide, err
}
