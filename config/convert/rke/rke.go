// Package rke reads the cluster.yml of RKE, the first generation: private_registries, and the AWS
// keys of kubelet. Start reading at [Read].
package rke

import (
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// Fields are the fields of a cluster.yml that configure image sources (types/rke_types.go in
// https://github.com/rancher/rke), in YAML spelling and in JSON spelling: a cluster.rkestate and
// Rancher's API hold the same fields.
func Fields() source.Fields {
	env := source.Fields{"extra_env": nil, "extraEnv": nil}
	cluster := func() source.Fields {
		return source.Fields{
			"private_registries": nil, "privateRegistries": nil,
			"private_registry": nil, "privateRegistry": nil,
			"services": {"kubelet": env},
		}
	}
	top := cluster()
	for _, name := range []string{
		"rancher_kubernetes_engine_config", "rancherKubernetesEngineConfig",
	} {
		top[name] = cluster()
	}
	top["desiredState"] = source.Fields{"rkeConfig": cluster()}
	top["currentState"] = source.Fields{"rkeConfig": cluster()}
	top["spec"] = source.Fields{"rancherKubernetesEngineConfig": cluster()}
	return top
}

// findCluster finds the cluster's settings in the files that commonly contain them.
func findCluster(root source.Cursor) (source.Cursor, bool) {
	for _, way := range [][]string{
		{"rancher_kubernetes_engine_config"}, {"rancherKubernetesEngineConfig"},
		{"spec", "rancherKubernetesEngineConfig"},
		{"desiredState", "rkeConfig"}, {"currentState", "rkeConfig"},
	} {
		c := root
		for _, name := range way {
			if c = c.Get(name); !c.Absent() && !c.Mapping("private_registries: below it") {
				return c, false
			}
		}
		if !c.Absent() {
			return c, true
		}
	}
	return root, true
}

// privateRegistry is one item of private_registries.
type privateRegistry struct {
	at      source.Cursor
	written string // url as written
	scheme  string
	name    string // host[:port][/path]
	ignored string
	user    string
	secret  string
	overTLS string // reason for https, see [Address.NeedsTLS]
	def     bool
	ecr     source.Cursor
	keys    draft.AWSKeys // of ecr
	noKeys  bool          // ecr is present without keys
	twice   []string      // paths of earlier items for the same registry
}

// reader is a draft with what is read from a cluster.yml.
type reader struct {
	*draft.Draft
	envAt source.Cursor // location of the AWS key in kubelet's environment
}

// Read reads a cluster.yml, a cluster.rkestate, or a cluster of RKE as Rancher exports it.
func Read(base *draft.Draft, root source.Cursor) {
	d := &reader{Draft: base}
	cluster, ok := findCluster(root)
	if !ok {
		return
	}
	d.Note("RKE (the first generation, which ran Docker) is end-of-life; this file is for a node " +
		"that runs containerd.")
	if one := cluster.FirstOf("private_registry", "privateRegistry"); !one.Absent() {
		one.Fail("is not a field that RKE knows; write private_registries: with a list below it")
		return
	}
	env := d.kubeletEnv(cluster)
	list := cluster.FirstOf("private_registries", "privateRegistries")
	found := d.readRegistries(list)
	if list.Absent() && env == nil && len(d.Lost) == 0 {
		d.RefuseEmpty("names no private_registries")
		return
	}
	d.placeDefault(found)
	for _, r := range found {
		d.placeRegistry(r)
	}
	d.placeKeys(env, found)
	d.Unread(list)
}

func (d *reader) readRegistries(list source.Cursor) []*privateRegistry {
	var found []*privateRegistry
	byName := map[string]*privateRegistry{}
	for _, c := range list.Items("- url: registry.corp:5000") {
		if !c.Mapping("url: registry.corp:5000") {
			if c.Value.Kind == source.Null {
				continue
			}
			return nil
		}
		r := d.readItem(c)
		if r == nil {
			continue
		}
		if before := byName[r.name]; before != nil {
			// RKE keeps them in a map by url, so the last one counts.
			r.twice = append(before.twice, before.at.Path)
			if before.written != r.written {
				d.Lose(before.at.Loss("the same registry is named twice, in two spellings",
					"only the later entry is used; keep one of the two"))
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

func (d *reader) readItem(c source.Cursor) *privateRegistry {
	r := &privateRegistry{at: c, written: c.Get("url").Text(), user: c.Get("user").Text(),
		secret: c.Get("password").Text(),
		def:    c.FirstOf("is_default", "isDefault").Bool(), name: dockerhub.Name}
	plugin := c.FirstOf("ecrCredentialPlugin", "ecr_credential_plugin", "credentialPlugin",
		"credential_plugin")
	if plugin.Mapping("aws_access_key_id: below it, or {}") {
		d.readPlugin(r, plugin)
	}
	if strings.TrimSpace(r.written) == "" {
		return r
	}
	a, err := draft.ParseAddress(r.written)
	if err == nil {
		if r.overTLS = a.NeedsTLS(); r.overTLS != "" {
			a.Scheme = "https"
		}
		r.scheme, r.name, r.ignored = a.Scheme, a.RegistryName(), a.Ignored
		err = draft.CheckName(r.name)
	}
	if err != nil {
		d.Lose(c.Get("url").Loss("the registry's address "+err.Error(),
			"the registry is left out, with its login; write host[:port][/path]"))
		c.Skip()
		return nil
	}
	if r.noKeys && (r.user != "" || r.secret != "" || !draft.IsECR(draft.HostOnly(r.name))) {
		r.ecr = source.Cursor{} // Rancher adds it, without keys, to every registry
	}
	return r
}

// readPlugin reads the plugin of a registry. Earlier releases of RKE named it credentialPlugin and
// gave its type.
func (d *reader) readPlugin(r *privateRegistry, plugin source.Cursor) {
	kind := plugin.Get("type")
	if text := strings.ToLower(kind.Text()); text != "" && text != "ecr" {
		d.LeaveOut(plugin, "a credential plugin of another type than ecr", draft.NoLogin+
			"; write a login for it under registries")
		return
	}
	plugin.Value.Login = true
	r.ecr = plugin
	r.keys = draft.AWSKeys{
		ID:     redact.New(plugin.FirstOf("aws_access_key_id", "awsAccessKeyId").Text()),
		Secret: redact.New(plugin.FirstOf("aws_secret_access_key", "awsSecretAccessKey").Text()),
		Session: redact.New(plugin.FirstOf("aws_session_token", "awsAccessToken",
			"awsSessionToken").Text()),
	}
	r.noKeys = r.keys == draft.AWSKeys{}
}

// placeDefault carries is_default over. RKE put only the first such registry in front of the names
// of its own system images (setClusterImageDefaults in cluster/defaults.go).
func (d *reader) placeDefault(found []*privateRegistry) {
	var first *privateRegistry
	var others []string
	for _, r := range found {
		switch {
		case !r.def:
		case first == nil:
			first = r
		default:
			others = append(others, r.name+" ("+r.at.Path+")")
		}
	}
	if first == nil {
		return
	}
	notes := []string{}
	if len(others) > 0 {
		notes = append(notes, "The first is_default counts, as in RKE. Not used: "+
			strings.Join(others, ", ")+".")
	}
	if draft.HostOnly(first.name) == dockerhub.Name {
		if first.name != dockerhub.Name {
			d.Lose(first.at.FirstOf("is_default", "isDefault").Loss("a repository of Docker Hub "+
				"has a name of two parts, so none can lie below "+first.name,
				"images that name no registry come from Docker Hub itself"))
		} else {
			notes = append([]string{"Docker Hub was the default registry; images that name no " +
				"registry come from there anyway."}, notes...)
		}
		d.Notes = append(d.Notes, notes...)
		return
	}
	written, u, err := draft.PrefixURL(first.scheme, first.name)
	if err != nil {
		d.Lose(first.at.Get("url").Loss("the default registry's address "+err.Error(),
			"images that name no registry come from Docker Hub"))
		return
	}
	d.DefaultRegistry = &draft.DefaultRegistry{URL: u, Written: written, Notes: append([]string{
		"RKE took only its own system images from the default registry. Here every image without " +
			"a registry in its name is looked for there first, and on Docker Hub if it is " +
			"missing there.",
		"To close Docker Hub, write upstreamFallback: false. To take images of other registries " +
			"from there too, add them to \"for\".",
	}, notes...)}
}

// placeRegistry adds the entry of one registry.
func (d *reader) placeRegistry(found *privateRegistry) {
	r := d.Registry(found.name, found.at)
	r.Named = true
	if len(found.twice) > 0 {
		r.Note("Named more than once (%s); the last entry counts, as in RKE.",
			strings.Join(append(found.twice, found.at.Path), ", "))
	}
	if found.ignored != "" {
		r.Note("RKE ignored %s, and it is left out.", found.ignored)
	}
	if found.overTLS != "" {
		r.Note("%s", found.overTLS)
	}
	r.PlainHTTP = found.scheme == "http"
	if found.ecr.In == nil {
		d.SetLogin(found.at, r, found.user, found.secret)
		return
	}
	if found.user != "" || found.secret != "" {
		d.Lose(found.at.Loss("a login beside an ecrCredentialPlugin; kubelet used the plugin",
			"the login is left out, and the registry is asked with a token of ECR"))
	}
	if !draft.IsECR(draft.HostOnly(found.name)) {
		d.Lose(found.ecr.Loss("this host is not named like an ECR registry, and neither RKE nor "+
			"Berth gives it a token of ECR",
			draft.NoLogin+"; if it is one, name it under ecr.registries with its account and "+
				"region"))
		return
	}
	r.Note("ECR: Berth fetches and renews the token, see ecr.")
}
