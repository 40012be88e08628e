package convert

import (
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// rkeFields are the parts of a cluster.yml that say where images come from
// (types/rke_types.go in https://github.com/rancher/rke). Rancher writes the
// same below rancher_kubernetes_engine_config.
func rkeFields() fields {
	cluster := fields{
		"private_registries": nil,
		"services":           {"kubelet": {"extra_env": nil}},
	}
	return fields{
		"private_registries":               nil,
		"services":                         cluster["services"],
		"rancher_kubernetes_engine_config": cluster,
	}
}

// rkeRegistry is one item of private_registries.
type rkeRegistry struct {
	at      cursor
	written string // url as it stands there
	scheme  string
	name    string // host[:port][/path]
	ignored string
	user    string
	secret  string
	overTLS bool // see tokenNeedsTLS
	def     bool
	ecr     cursor
	twice   []string // paths of earlier items for the same registry
}

func fromRKE(d *draft, root cursor) {
	cluster := root
	if wrapped := root.get("rancher_kubernetes_engine_config"); !wrapped.absent() {
		cluster = wrapped
		if !wrapped.mapping("private_registries: below it") {
			return
		}
	}
	d.note("RKE (the first generation, which ran Docker) has come to the end of its life; this file is for a node that runs containerd.")
	env := d.kubeletEnv(cluster)
	found := d.rkeRegistries(cluster)
	if len(found) == 0 {
		d.note("The file names no private_registries.")
	}
	d.rkeDefault(found)
	for _, r := range found {
		d.rkeRegistry(r)
	}
	d.rkeKeys(env, found)
}

func (d *draft) rkeRegistries(cluster cursor) []*rkeRegistry {
	var found []*rkeRegistry
	byName := map[string]*rkeRegistry{}
	for _, c := range cluster.get("private_registries").items("- url: registry.corp:5000") {
		if !c.mapping("url: registry.corp:5000") {
			if c.v.kind == null {
				continue
			}
			return nil
		}
		r := d.rkeItem(c)
		if r == nil {
			continue
		}
		if before := byName[r.name]; before != nil {
			// RKE keeps them in a map by url, so that the last one counts.
			r.twice = append(before.twice, before.at.path)
			if before.written != r.written {
				d.lose(before.at.loss("the same registry is named twice, in two spellings", "only the later entry is used; keep one of the two"))
			}
			r.def = r.def || before.def
			*before = *r
			continue
		}
		byName[r.name] = r
		found = append(found, r)
	}
	return found
}

func (d *draft) rkeItem(c cursor) *rkeRegistry {
	r := &rkeRegistry{at: c, written: c.get("url").text(), user: c.get("user").text(), secret: c.get("password").text(), def: c.get("is_default").truth()}
	for _, name := range []string{"ecrCredentialPlugin", "ecr_credential_plugin"} {
		if p := c.get(name); !p.absent() && p.mapping("aws_access_key_id: below it, or {}") {
			r.ecr = p
		}
	}
	r.name = dockerHub
	if strings.TrimSpace(r.written) == "" {
		return r
	}
	a, err := split(r.written)
	if err == nil {
		if a.tokenNeedsTLS() {
			a.scheme, r.overTLS = "https", true
		}
		r.scheme, r.name, r.ignored = a.scheme, a.registryName(), a.ignored
		err = checkName(r.name)
	}
	if err != nil {
		d.lose(c.get("url").loss("the registry's address "+err.Error(), "the registry is left out, with its login; write host[:port][/path]"))
		return nil
	}
	return r
}

// rkeDefault carries is_default over. RKE put the first one in front of the
// names of its own system images (setClusterImageDefaults in
// cluster/defaults.go), and looked no further.
func (d *draft) rkeDefault(found []*rkeRegistry) {
	var first *rkeRegistry
	var others []string
	for _, r := range found {
		switch {
		case !r.def:
		case first == nil:
			first = r
		default:
			others = append(others, r.name+" ("+r.at.path+")")
		}
	}
	if first == nil {
		return
	}
	notes := []string{}
	if len(others) > 0 {
		notes = append(notes, "The first is_default counts, as in RKE. Not used: "+strings.Join(others, ", ")+".")
	}
	if hostOnly(first.name) == dockerHub {
		if first.name != dockerHub {
			d.lose(first.at.get("is_default").loss("a repository of Docker Hub has a name of two parts, so none can lie below "+first.name,
				"images that name no registry come from Docker Hub itself"))
		} else {
			notes = append([]string{"Docker Hub was the default registry; images that name no registry come from there anyway."}, notes...)
		}
		d.notes = append(d.notes, notes...)
		return
	}
	written, u, err := prefixURL(first.scheme, first.name)
	if err != nil {
		d.lose(first.at.get("url").loss("the default registry's address "+err.Error(), "images that name no registry come from Docker Hub"))
		return
	}
	d.defaultRegistry = &defaultRegistry{url: u, written: written, notes: append([]string{
		"RKE took only its own system images from the default registry. Here every image without a registry in its name is looked for there first, and on Docker Hub when it is not there.",
		"To close Docker Hub, write upstreamFallback: false. To take images of other registries from there too, add them to \"for\".",
	}, notes...)}
}

// rkeRegistry writes the entry of one registry.
func (d *draft) rkeRegistry(found *rkeRegistry) {
	r := d.registry(found.name, found.at)
	if len(found.twice) > 0 {
		r.note("Named more than once (%s); the last entry counts, as in RKE.", strings.Join(append(found.twice, found.at.path), ", "))
	}
	if found.ignored != "" {
		r.note("RKE made no use of %s, and it is left out.", found.ignored)
	}
	if found.overTLS {
		r.note(overTLS)
	}
	r.plainHTTP = found.scheme == "http"
	if found.ecr.in == nil {
		d.setLogin(found.at, r, found.user, found.secret)
		return
	}
	if found.user != "" || found.secret != "" {
		d.lose(found.at.loss("a login beside an ecrCredentialPlugin; kubelet used the plugin",
			"the login is left out, and the registry is asked with a token of ECR"))
	}
	if !isECR(hostOnly(found.name)) {
		d.lose(found.ecr.loss("this host is not named like an ECR registry, and neither RKE nor Berth gives it a token of ECR",
			noLogin+"; if it is one, name it under ecr.registries with its account and region"))
		return
	}
	r.note("ECR: Berth fetches and renews the token, see ecr.")
}

// rkeKeys collects the AWS keys. kubelet pulled with those of its environment;
// those of a registry served RKE's own system containers.
func (d *draft) rkeKeys(env *awsKeys, found []*rkeRegistry) {
	var all []awsKeys
	add := func(k awsKeys, at cursor) {
		for i, known := range all {
			if known == k {
				return
			} else if i == len(all)-1 {
				d.lose(at.loss("a second pair of AWS keys: Berth has one list of keys for all ECR registries",
					"these keys are used only when those before them get no token; registries that need exactly these may refuse the pull"))
			}
		}
		all = append(all, k)
	}
	if env != nil {
		add(*env, d.envAt)
	}
	plugins := false
	for _, r := range found {
		if r.ecr.in == nil {
			continue
		}
		plugins = true
		d.unknown(r.ecr, "aws_access_key_id", "aws_secret_access_key", "aws_session_token")
		k := awsKeys{redact.New(r.ecr.get("aws_access_key_id").text()), redact.New(r.ecr.get("aws_secret_access_key").text()), redact.New(r.ecr.get("aws_session_token").text())}
		switch {
		case k == awsKeys{}:
		case k.id.IsZero() || k.secret.IsZero():
			d.lose(r.ecr.loss("an AWS key needs both aws_access_key_id and aws_secret_access_key; RKE did not use this one either",
				"tokens of ECR come from the instance profile"))
		case !d.printable(r.ecr, k):
		default:
			add(k, r.ecr)
		}
	}
	if len(all) == 0 {
		if plugins {
			d.note("No AWS keys are given: tokens of ECR come from the role of the instance (its instance profile), which is the default.")
		}
		return
	}
	d.staticKeys(all)
}

func (d *draft) staticKeys(all []awsKeys) {
	d.ecrNotes = append(d.ecrNotes, "The role of the instance is asked first, the keys below when it cannot serve. To have it the other way round, as RKE did where keys were given, swap the items.")
	d.ecr = append(d.ecr, credential{})
	for _, k := range all {
		c := credential{keys: &k}
		if !k.session.IsZero() {
			c.notes = append(c.notes, "A session token is valid for hours; these keys have probably expired.")
		}
		d.ecr = append(d.ecr, c)
	}
}

// kubeletEnv reads AWS keys out of services.kubelet.extra_env, where RKE's
// documentation tells people to put them.
func (d *draft) kubeletEnv(cluster cursor) *awsKeys {
	env := map[string]string{}
	for _, c := range cluster.get("services").get("kubelet").get("extra_env").items(`- "AWS_ACCESS_KEY_ID=…"`) {
		name, text, _ := strings.Cut(c.text(), "=")
		switch name {
		case "AWS_ACCESS_KEY_ID":
			d.envAt = c
			env[name] = text
		case "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
			env[name] = text
		case "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE":
			d.lose(c.loss(name+" of kubelet is not carried over: the file it speaks of is inside kubelet's container",
				"if tokens of ECR come from it, write ecr.credentials with static.sharedCredentialsFile, profile or roleARN"))
		}
		if name == "AWS_SECRET_ACCESS_KEY" && d.envAt.in == nil {
			d.envAt = c
		}
	}
	k := awsKeys{redact.New(env["AWS_ACCESS_KEY_ID"]), redact.New(env["AWS_SECRET_ACCESS_KEY"]), redact.New(env["AWS_SESSION_TOKEN"])}
	switch {
	case d.envAt.in == nil:
		return nil
	case k.id.IsZero() || k.secret.IsZero():
		d.lose(d.envAt.loss("kubelet's environment holds half an AWS key: both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed",
			"tokens of ECR come from the instance profile"))
		return nil
	case !d.printable(d.envAt, k):
		return nil
	}
	return &k
}

// printable loses keys that no AWS key looks like and YAML could not hold.
func (d *draft) printable(at cursor, k awsKeys) bool {
	if strings.ContainsFunc(k.id.Reveal()+k.secret.Reveal()+k.session.Reveal(), func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		d.lose(at.loss("this is no AWS key: it holds spaces or characters other than ASCII", "tokens of ECR come from the instance profile"))
		return false
	}
	return true
}
