package rke

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// placeKeys places the AWS keys. kubelet pulled with the keys of its environment; a registry's own
// keys served RKE's system containers. A single pair goes to the section ecr; of several pairs,
// each registry keeps its own.
func (d *reader) placeKeys(env *draft.AWSKeys, found []*privateRegistry) {
	var all []draft.AWSKeys
	if env != nil {
		all = append(all, *env)
	}
	plugins := false
	var own []*privateRegistry
	for _, r := range found {
		if r.ecr.In == nil {
			continue
		}
		plugins = true
		switch k := r.keys; {
		case k == draft.AWSKeys{}:
		case k.ID.IsZero() || k.Secret.IsZero():
			d.Lose(r.ecr.Loss("an AWS key needs both aws_access_key_id and "+
				"aws_secret_access_key; RKE did not use this one either",
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
		d.Note("No AWS keys are given: tokens of ECR come from the role of the instance (its " +
			"instance profile), which is the default.")
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
func (d *reader) ownKeys(found *privateRegistry, kubelet bool) {
	host := draft.HostOnly(found.name)
	lose := func(what string) {
		d.Lose(found.ecr.Loss(what, "these keys are not used; tokens of ECR for "+host+
			" come from those that are"))
	}
	name, ok := ecr.ParseHost(host)
	r := d.Registry(host, found.at)
	switch {
	case !ok:
		lose("this host is not an ECR registry name that Berth knows")
		return
	case r.Login != nil:
		lose("this registry has a login as well, for all its repositories")
		return
	}
	for _, other := range d.Registries {
		same, _ := ecr.ParseHost(other.Host)
		if other.Keys != nil && same.Same(name) {
			if *other.Keys != found.keys {
				lose("a second pair of AWS keys for this registry")
			}
			return
		}
	}
	r.Named, r.Keys = true, &found.keys
	r.Note("These AWS keys are for this registry alone, as in RKE.")
	if kubelet {
		r.Note("kubelet pulled with those of its environment; if only they may pull, remove ecr " +
			"here.")
	}
	if !found.keys.Session.IsZero() {
		r.Note(expiredKeys)
	}
}

const expiredKeys = "A session token is valid for hours; these keys have probably expired."

func (d *reader) staticKeys(all []draft.AWSKeys) {
	d.ECRNotes = append(d.ECRNotes, "The role of the instance is asked first, the keys below "+
		"when it cannot serve. To have it the other way round, as RKE did where keys were given, "+
		"swap the items.")
	d.ECR = append(d.ECR, draft.Credential{})
	for _, k := range all {
		c := draft.Credential{Keys: &k}
		if !k.Session.IsZero() {
			c.Notes = append(c.Notes, expiredKeys)
		}
		d.ECR = append(d.ECR, c)
	}
}

// kubeletEnv reads AWS keys from services.kubelet.extra_env, the place that RKE's documentation
// gives for them.
func (d *reader) kubeletEnv(cluster source.Cursor) *draft.AWSKeys {
	env := map[string]string{}
	list := cluster.Get("services").Get("kubelet").FirstOf("extra_env", "extraEnv")
	for _, c := range list.Items(`- "AWS_ACCESS_KEY_ID=…"`) {
		name, text, _ := strings.Cut(c.Text(), "=")
		switch name {
		case "AWS_ACCESS_KEY_ID":
			d.envAt = c
			env[name] = text
		case "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
			env[name] = text
		case "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN",
			"AWS_WEB_IDENTITY_TOKEN_FILE":
			d.Lose(c.Loss(name+" of kubelet is not carried over: the file that it names is "+
				"inside kubelet's container",
				"if tokens of ECR come from it, write ecr.credentials with "+
					"static.sharedCredentialsFile, profile or roleARN"))
		}
		if name == "AWS_SECRET_ACCESS_KEY" && d.envAt.In == nil {
			d.envAt = c
		}
	}
	k := draft.AWSKeys{
		ID: redact.New(env["AWS_ACCESS_KEY_ID"]), Secret: redact.New(env["AWS_SECRET_ACCESS_KEY"]),
		Session: redact.New(env["AWS_SESSION_TOKEN"]),
	}
	switch {
	case d.envAt.In == nil:
		return nil
	case k.ID.IsZero() || k.Secret.IsZero():
		d.Lose(d.envAt.Loss("kubelet's environment holds half an AWS key: both AWS_ACCESS_KEY_ID "+
			"and AWS_SECRET_ACCESS_KEY are needed",
			"tokens of ECR come from the instance profile"))
		return nil
	case !d.printable(d.envAt, k):
		return nil
	}
	return &k
}

// printable reports keys as lost that cannot be AWS keys or that YAML cannot hold.
func (d *reader) printable(at source.Cursor, k draft.AWSKeys) bool {
	if strings.ContainsFunc(k.ID.Reveal()+k.Secret.Reveal()+k.Session.Reveal(),
		func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
		d.Lose(at.Loss("not an AWS key: it contains spaces or characters other than ASCII",
			"tokens of ECR come from the instance profile"))
		return false
	}
	return true
}
