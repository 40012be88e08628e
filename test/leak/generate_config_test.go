package leak

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

type object = map[string]any

func (d *generator) config(fake *fakeaws.Server) object {
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
	c["registries"] = append(registries, d.ownIdentities(fake)...)
	if d.chance(40) {
		c["dockerConfigFile"] = d.dockerConfig(registries)
	}
	c["ecr"] = d.ecr(fake)
	c["containerd"] = object{"onConflict": pick(d, "report", "report", "report", "adopt")}
	return c
}

func (d *generator) mirror(upstream string) object {
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
		if host := hostOf(url); !seen[host] { // two spellings of one url are possible
			seen[host] = true
			endpoints = append(endpoints, e)
			d.mirrorsTo(upstream, url)
		}
	}
	m["endpoints"] = endpoints
	return m
}

func (d *generator) mirrorsTo(upstream, url string) {
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

// newLogin returns a random login; sometimes one password serves two hosts.
func (d *generator) newLogin(name string) login {
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

func (d *generator) registry(name string) object {
	l := d.newLogin(name)
	auth := pick(d, "auto", "auto", "basic", "token")
	r := object{"host": name, "auth": auth}
	l.unchecked = auth == "basic"
	d.hosts = append(d.hosts, l.host)
	if listed := pick(d, "", "", "", tokensHost, tokensHost+":8443"); listed != "" && auth != "token" {
		r["tokenRealms"] = []string{listed}
		d.round.list(l, listed)
	}
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
func (d *generator) owns(l login) {
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

// dockerConfig writes a pull secret. Its logins may use plain http where an entry of registries
// allows it for the whole path.
func (d *generator) dockerConfig(registries []object) string {
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
		return filepath.Join(d.dir, "cannot-be-written") // then the config cannot be loaded, which fails the test
	}
	return file
}

// ecr returns random credentials for ECR: working keys of this round alone, or the instance profile
// first, or keys that AWS refuses.
func (d *generator) ecr(fake *fakeaws.Server) object {
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
		d.round.ecrNames["images.corp"] = ecrRegistry{"ecr", region, "111122223333"}
		d.hosts = append(d.hosts, "images.corp")
	}
	return e
}

// ownIdentities returns registries with credentials of their own, sometimes ones that AWS refuses.
// The shared chain must not serve them.
func (d *generator) ownIdentities(fake *fakeaws.Server) []object {
	if d.chance(50) {
		return nil
	}
	var registries []object
	// Not the registry that may have a login: it would win.
	for _, host := range some(d, 1+d.IntN(2), []string{"444455556666.dkr.ecr.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-1.amazonaws.com"}) {
		account, _, _ := strings.Cut(host, ".")
		key := fakeaws.Key{ID: "AKIA" + account[:4] + strings.ToUpper(d.round.id), Secret: canary + "-own-" + account + "-" + d.round.id}
		if d.chance(75) {
			fake.AddKey(key)
		}
		d.round.secrets = append(d.round.secrets, secret{what: "the key of " + host, value: key.Secret})
		d.round.ownKeys[ecrHosts()[host]] = key.ID
		d.hosts = append(d.hosts, host, host)
		static := object{"static": object{"accessKeyID": key.ID, "secretAccessKey": key.Secret}}
		registries = append(registries, object{"host": host, "ecr": object{"credentials": []object{static}}})
	}
	return registries
}
