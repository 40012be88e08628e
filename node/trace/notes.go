package trace

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/hostport"
)

// expiresSoon is the remaining life of a token at which a note is given: the agent renews tokens
// long before.
const expiresSoon = 30 * time.Minute

// notes lists what is surprising about a pull, or will be.
func (t *Tracer) notes(r *Report, d directory, hosts []docker.RegistryHost, e credprovider.Explanation) []Note {
	var all []Note
	add := func(id, text, remedy string) { all = append(all, Note{ID: id, Text: text, Remedy: remedy}) }
	at := filepath.Join(d.certsDir, d.Dir)
	if r.Ignored != "" {
		add("ignored", filepath.Join(at, "hosts.toml")+": "+r.Ignored+"; the registry itself is asked", "fix the file")
	}
	if len(d.Shadowed) > 0 {
		text := fmt.Sprintf("%s keeps %s from being used; nothing is merged", d.Dir, strings.Join(d.Shadowed, " and "))
		add("shadowed", text, "remove "+at+" if that is not what you want")
	}
	seen := map[string]bool{}
	for i, h := range r.Hosts {
		if seen[h.URL] {
			add("duplicate", h.URL+" is listed twice, so it is asked twice", "name it once; put its tables one after the other")
		}
		seen[h.URL] = true
		t.hostNotes(h, hosts[i], add)
	}
	if t.dockerMirrors > 0 {
		add("registry-mirrors", "registry-mirrors of Docker come first, because the directory names one host; they get its headers, too",
			"write them under mirrors in the config, and remove them from daemon.json")
	} else if differsFromConfig(r, hosts, e) {
		add("config", "certs.d is not as the config says", `run "berth plan" to see the difference, and "berth status" for mirrors that the agent has withdrawn`)
	}
	if t.carried != "" {
		add("redirect", t.Node.program()+" sends the login of the header along to "+t.carried+", to which the layer is redirected; a store that takes no login may refuse it",
			"use another host name for the store, or pass the login through kubelet")
	}
	differentImages(r, add)
	return all
}

func (t *Tracer) hostNotes(h Host, raw docker.RegistryHost, add func(id, text, remedy string)) {
	c := h.Credential
	if c.Channel == "header" && c.Expires != nil {
		left := c.Expires.Sub(t.now()).Round(time.Second)
		switch {
		case left <= 0:
			add("expired", fmt.Sprintf("the token in the header for %s has expired; the registry refuses it, and the next host is asked", name(h)),
				`see "berth status"; "berth apply" gets a new one`)
		case left < expiresSoon:
			add("expires", fmt.Sprintf("the token in the header for %s expires in %s", name(h), left), `see "berth status": the agent should have renewed it`)
		}
	}
	if c.What == "ECR token" && c.Source != "" && h.Resolve.Status == http.StatusForbidden && (c.Expires == nil || c.Expires.After(t.now())) {
		add("denied", fmt.Sprintf("%s gave a token to the identity %q and refuses it this repository", name(h), c.Source),
			"allow it ecr:BatchGetImage and ecr:GetDownloadUrlForLayer there; for another account also in the policy of the repository")
	}
	for spelled := range raw.Header {
		if strings.EqualFold(spelled, "Authorization") && spelled != "Authorization" {
			add("spelling", fmt.Sprintf("the header %s for %s is sent beside another one when the registry asks for a login", spelled, name(h)), "spell it Authorization")
		}
	}
	if _, plain := raw.Client.Transport.(*http.Transport); !plain && !h.Itself && t.Node.Docker == nil {
		add("tls-on-http", fmt.Sprintf("the file says http for %s and has TLS settings for it: https is tried first, then http", name(h)),
			"write https, or remove ca, client and skip_verify")
	}
	if h.Challenges && !h.Itself && t.Node.Docker == nil {
		text, remedy := pullSecret(h)
		add("pull-secret", text, remedy)
	}
	if c.Channel == "header" && hostport.Exposed(raw.Scheme, raw.Host) {
		add("plain-http", "the login for "+name(h)+" is sent over plain http", "use https")
	}
}

// pullSecret says where the pull secret of a pod would go if a mirror asks for a login: containerd
// answers any challenge with it, whichever registry it is for. A login in a header prevents that
// only if the mirror accepts it at once, without a token.
func pullSecret(h Host) (text, remedy string) {
	header := h.Credential.Channel == "header"
	switch {
	case h.TokenServer != "" && header:
		text = fmt.Sprintf("%s wants a token of %s: a pull secret for this image would be sent there in place of the login in the header", name(h), h.TokenServer)
	case h.TokenServer != "":
		text = fmt.Sprintf("%s wants a token of %s: a pull secret for this image would be sent there", name(h), h.TokenServer)
	case header:
		return fmt.Sprintf("%s does not take the login in its header and asks for one: a pull secret for this image would be sent to it", name(h)),
			"fix its login under registries"
	default:
		return fmt.Sprintf("%s asks for a login: a pull secret for this image would be sent to it, too", name(h)),
			"give it its own login under registries, or keep pull secrets for this image out of the pods"
	}
	return text, "keep pull secrets for this image out of the pods, or allow pulls from the mirror without a token"
}

// differsFromConfig reports whether the config would make containerd ask other hosts.
func differsFromConfig(r *Report, raw []docker.RegistryHost, e credprovider.Explanation) bool {
	if e.Directory == "" || r.CertsDir == "" || r.Ignored != "" {
		return false // nothing is configured, or the files are not used at all
	}
	if len(e.Hosts) != len(r.Hosts) {
		return true
	}
	for i, x := range e.Hosts {
		if !credprovider.SameHost(x.Host.Host, name(r.Hosts[i]), raw[i].Scheme) {
			return true
		}
	}
	return false
}

// differentImages reports hosts that have a different image under the tag.
func differentImages(r *Report, add func(id, text, remedy string)) {
	for _, h := range r.Hosts {
		if h.Resolve.OK && h.Resolve.Digest != r.Digest && r.Digest != "" {
			add("differs", fmt.Sprintf("%s has another image under this name: %s", name(h), h.Resolve.Digest), "")
		}
	}
}
