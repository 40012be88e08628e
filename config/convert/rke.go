package convert

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// rkeFields are the fields of a cluster.yml that configure image sources (types/rke_types.go in
// https://github.com/rancher/rke), in YAML spelling and in JSON spelling: a cluster.rkestate and
// Rancher's API hold the same fields.
func rkeFields() fields {
	env := fields{"extra_env": nil, "extraEnv": nil}
	cluster := func() fields {
		return fields{
			"private_registries": nil, "privateRegistries": nil, "private_registry": nil, "privateRegistry": nil,
			"services": {"kubelet": env},
		}
	}
	top := cluster()
	for _, name := range []string{"rancher_kubernetes_engine_config", "rancherKubernetesEngineConfig"} {
		top[name] = cluster()
	}
	top["desiredState"] = fields{"rkeConfig": cluster()}
	top["currentState"] = fields{"rkeConfig": cluster()}
	top["spec"] = fields{"rancherKubernetesEngineConfig": cluster()}
	return top
}

// rkeCluster finds the cluster's settings in the files that commonly contain them.
func rkeCluster(root cursor) (cursor, bool) {
	for _, way := range [][]string{
		{"rancher_kubernetes_engine_config"}, {"rancherKubernetesEngineConfig"}, {"spec", "rancherKubernetesEngineConfig"},
		{"desiredState", "rkeConfig"}, {"currentState", "rkeConfig"},
	} {
		c := root
		for _, name := range way {
			if c = c.get(name); !c.absent() && !c.mapping("private_registries: below it") {
				return c, false
			}
		}
		if !c.absent() {
			return c, true
		}
	}
	return root, true
}

// rkeRegistry is one item of private_registries.
type rkeRegistry struct {
	at      cursor
	written string // url as written
	scheme  string
	name    string // host[:port][/path]
	ignored string
	user    string
	secret  string
	overTLS string // reason for https, see needsTLS
	def     bool
	ecr     cursor
	keys    awsKeys  // of ecr
	noKeys  bool     // ecr is present without keys
	twice   []string // paths of earlier items for the same registry
}

// rke is a draft with what is read from a cluster.yml.
type rke struct {
	*draft
	envAt cursor // location of the AWS key in kubelet's environment
}

func fromRKE(base *draft, root cursor) {
	d := &rke{draft: base}
	cluster, ok := rkeCluster(root)
	if !ok {
		return
	}
	d.note("RKE (the first generation, which ran Docker) is end-of-life; this file is for a node that runs containerd.")
	if one := cluster.firstOf("private_registry", "privateRegistry"); !one.absent() {
		one.fail("is not a field that RKE knows; write private_registries: with a list below it")
		return
	}
	env := d.kubeletEnv(cluster)
	list := cluster.firstOf("private_registries", "privateRegistries")
	found := d.rkeRegistries(list)
	if list.absent() && env == nil && len(d.lost) == 0 {
		d.refuseEmpty("names no private_registries")
		return
	}
	d.rkeDefault(found)
	for _, r := range found {
		d.rkeRegistry(r)
	}
	d.rkeKeys(env, found)
	d.unread(list)
}

func (d *rke) rkeRegistries(list cursor) []*rkeRegistry {
	var found []*rkeRegistry
	byName := map[string]*rkeRegistry{}
	for _, c := range list.items("- url: registry.corp:5000") {
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
			// RKE keeps them in a map by url, so the last one counts.
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

func (d *rke) rkeItem(c cursor) *rkeRegistry {
	r := &rkeRegistry{at: c, written: c.get("url").text(), user: c.get("user").text(), secret: c.get("password").text(),
		def: c.firstOf("is_default", "isDefault").boolValue(), name: dockerhub.Name}
	plugin := c.firstOf("ecrCredentialPlugin", "ecr_credential_plugin", "credentialPlugin", "credential_plugin")
	if plugin.mapping("aws_access_key_id: below it, or {}") {
		d.rkePlugin(r, plugin)
	}
	if strings.TrimSpace(r.written) == "" {
		return r
	}
	a, err := split(r.written)
	if err == nil {
		if r.overTLS = a.needsTLS(); r.overTLS != "" {
			a.scheme = "https"
		}
		r.scheme, r.name, r.ignored = a.scheme, a.registryName(), a.ignored
		err = checkName(r.name)
	}
	if err != nil {
		d.lose(c.get("url").loss("the registry's address "+err.Error(), "the registry is left out, with its login; write host[:port][/path]"))
		c.skip()
		return nil
	}
	if r.noKeys && (r.user != "" || r.secret != "" || !isECR(hostOnly(r.name))) {
		r.ecr = cursor{} // Rancher adds it, without keys, to every registry
	}
	return r
}

// rkePlugin reads the plugin of a registry. Earlier releases of RKE named it credentialPlugin and
// gave its type.
func (d *rke) rkePlugin(r *rkeRegistry, plugin cursor) {
	kind := plugin.get("type")
	if text := strings.ToLower(kind.text()); text != "" && text != "ecr" {
		d.leaveOut(plugin, "a credential plugin of another type than ecr", noLogin+"; write a login for it under registries")
		return
	}
	plugin.v.login = true
	r.ecr = plugin
	r.keys = awsKeys{
		id:      redact.New(plugin.firstOf("aws_access_key_id", "awsAccessKeyId").text()),
		secret:  redact.New(plugin.firstOf("aws_secret_access_key", "awsSecretAccessKey").text()),
		session: redact.New(plugin.firstOf("aws_session_token", "awsAccessToken", "awsSessionToken").text()),
	}
	r.noKeys = r.keys == awsKeys{}
}

// rkeDefault carries is_default over. RKE put only the first such registry in front of the names of
// its own system images (setClusterImageDefaults in cluster/defaults.go).
func (d *rke) rkeDefault(found []*rkeRegistry) {
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
	if hostOnly(first.name) == dockerhub.Name {
		if first.name != dockerhub.Name {
			d.lose(first.at.firstOf("is_default", "isDefault").loss("a repository of Docker Hub has a name of two parts, so none can lie below "+first.name,
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
		"RKE took only its own system images from the default registry. Here every image without a registry in its name is looked for there first, and on Docker Hub if it is missing there.",
		"To close Docker Hub, write upstreamFallback: false. To take images of other registries from there too, add them to \"for\".",
	}, notes...)}
}

// rkeRegistry adds the entry of one registry.
func (d *rke) rkeRegistry(found *rkeRegistry) {
	r := d.registry(found.name, found.at)
	r.named = true
	if len(found.twice) > 0 {
		r.note("Named more than once (%s); the last entry counts, as in RKE.", strings.Join(append(found.twice, found.at.path), ", "))
	}
	if found.ignored != "" {
		r.note("RKE ignored %s, and it is left out.", found.ignored)
	}
	if found.overTLS != "" {
		r.note("%s", found.overTLS)
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

// rkeKeys places the AWS keys. kubelet pulled with the keys of its environment; a registry's own
// keys served RKE's system containers. A single pair goes to the section ecr; of several pairs,
// each registry keeps its own.
func (d *rke) rkeKeys(env *awsKeys, found []*rkeRegistry) {
	var all []awsKeys
	if env != nil {
		all = append(all, *env)
	}
	plugins := false
	var own []*rkeRegistry
	for _, r := range found {
		if r.ecr.in == nil {
			continue
		}
		plugins = true
		switch k := r.keys; {
		case k == awsKeys{}:
		case k.id.IsZero() || k.secret.IsZero():
			d.lose(r.ecr.loss("an AWS key needs both aws_access_key_id and aws_secret_access_key; RKE did not use this one either",
				"tokens of ECR come from the instance profile"))
		case d.printable(r.ecr, k):
			own = append(own, r)
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	switch {
	case len(all) == 0 && plugins:
		d.note("No AWS keys are given: tokens of ECR come from the role of the instance (its instance profile), which is the default.")
	case len(all) == 1:
		d.staticKeys(all)
	case len(all) > 1:
		if env != nil {
			d.staticKeys(all[:1])
		}
		for _, r := range own {
			if env == nil || r.keys != *env {
				d.ownKeys(r, env != nil)
			}
		}
	}
}

// ownKeys sets the keys of a registry in its own entry.
func (d *rke) ownKeys(found *rkeRegistry, kubelet bool) {
	host := hostOnly(found.name)
	lose := func(what string) {
		d.lose(found.ecr.loss(what, "these keys are not used; tokens of ECR for "+host+" come from those that are"))
	}
	name, ok := ecr.ParseHost(host)
	r := d.registry(host, found.at)
	switch {
	case !ok:
		lose("this host is not an ECR registry name that Berth knows")
		return
	case r.login != nil:
		lose("this registry has a login as well, for all its repositories")
		return
	}
	for _, other := range d.registries {
		same, _ := ecr.ParseHost(other.host)
		if other.keys != nil && same.Same(name) {
			if *other.keys != found.keys {
				lose("a second pair of AWS keys for this registry")
			}
			return
		}
	}
	r.named, r.keys = true, &found.keys
	r.note("These AWS keys are for this registry alone, as in RKE.")
	if kubelet {
		r.note("kubelet pulled with those of its environment; if only they may pull, remove ecr here.")
	}
	if !found.keys.session.IsZero() {
		r.note(expiredKeys)
	}
}

const expiredKeys = "A session token is valid for hours; these keys have probably expired."

func (d *rke) staticKeys(all []awsKeys) {
	d.ecrNotes = append(d.ecrNotes, "The role of the instance is asked first, the keys below when it cannot serve. To have it the other way round, as RKE did where keys were given, swap the items.")
	d.ecr = append(d.ecr, credential{})
	for _, k := range all {
		c := credential{keys: &k}
		if !k.session.IsZero() {
			c.notes = append(c.notes, expiredKeys)
		}
		d.ecr = append(d.ecr, c)
	}
}

// kubeletEnv reads AWS keys from services.kubelet.extra_env, the place that RKE's documentation
// gives for them.
func (d *rke) kubeletEnv(cluster cursor) *awsKeys {
	env := map[string]string{}
	for _, c := range cluster.get("services").get("kubelet").firstOf("extra_env", "extraEnv").items(`- "AWS_ACCESS_KEY_ID=…"`) {
		name, text, _ := strings.Cut(c.text(), "=")
		switch name {
		case "AWS_ACCESS_KEY_ID":
			d.envAt = c
			env[name] = text
		case "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
			env[name] = text
		case "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE":
			d.lose(c.loss(name+" of kubelet is not carried over: the file that it names is inside kubelet's container",
				"if tokens of ECR come from it, write ecr.credentials with static.sharedCredentialsFile, profile or roleARN"))
		}
		if name == "AWS_SECRET_ACCESS_KEY" && d.envAt.in == nil {
			d.envAt = c
		}
	}
	k := awsKeys{
		id: redact.New(env["AWS_ACCESS_KEY_ID"]), secret: redact.New(env["AWS_SECRET_ACCESS_KEY"]),
		session: redact.New(env["AWS_SESSION_TOKEN"]),
	}
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

// printable reports keys as lost that cannot be AWS keys or that YAML cannot hold.
func (d *rke) printable(at cursor, k awsKeys) bool {
	if strings.ContainsFunc(k.id.Reveal()+k.secret.Reveal()+k.session.Reveal(), func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		d.lose(at.loss("not an AWS key: it contains spaces or characters other than ASCII", "tokens of ECR come from the instance profile"))
		return false
	}
	return true
}
