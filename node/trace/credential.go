package trace

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/redact"
)

// login is what a host gets from a header or from kubelet.
type login struct {
	username string
	password redact.Secret
}

// credentialOf returns the login of a host: that of its header, or the one that kubelet passes if
// the host may have it.
func credentialOf(h docker.RegistryHost, e credprovider.Explanation) (Credential, login) {
	meant := configuredFor(h, e)
	passed := passedTo(h, meant, e)
	c := Credential{Channel: "none"}
	if meant != nil {
		c.Rule, c.Source = meant.Rule, meant.Source
		if meant.Err != nil {
			c.Problem = meant.Err.Error()
		}
	}
	if header := headerOf(h); header != "" {
		c.Channel, c.Problem = "header", ""
		describe(&c, header, meant)
		return c, passed
	}
	if passed.username != "" || !passed.password.IsZero() {
		c.Channel, c.Username, c.What = "provider", passed.username, kind(meant.Rule)
		c.Expires = when(meant.Expires)
		return c, passed
	}
	if meant != nil && meant.Rule != "" {
		if withheld := (*credprovider.WithheldError)(nil); errors.As(e.Err, &withheld) {
			c.Problem = withheld.Error()
		}
		if unasked := (*unaskedError)(nil); errors.As(e.Err, &unasked) {
			c.Problem = unasked.Error()
		}
	}
	return c, login{}
}

// configuredFor finds the credential that the config has for a host.
func configuredFor(h docker.RegistryHost, e credprovider.Explanation) *credprovider.HostExplanation {
	path := hostsconf.URL{Path: h.Path}.RepositoryPath()
	for i, x := range e.Hosts {
		if x.Rule != "" && credprovider.SameHost(x.Host.Host, h.Host, h.Scheme) && x.Host.Path == path {
			return &e.Hosts[i]
		}
	}
	return nil
}

// passedTo is the credential that kubelet would pass, if it is for this host. certs.d may differ
// from the config, so the provider's decision alone is not enough.
func passedTo(h docker.RegistryHost, meant *credprovider.HostExplanation, e credprovider.Explanation) login {
	c := e.Credential
	switch {
	case c == nil, meant == nil, meant.Username != c.Username, meant.Password != c.Password:
		return login{}
	case hostport.Exposed(h.Scheme, h.Host):
		return login{}
	}
	return login{c.Username, c.Password}
}

// headerOf is the Authorization header of a host, in any spelling.
func headerOf(h docker.RegistryHost) string {
	for name, values := range h.Header {
		if strings.EqualFold(name, "Authorization") && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// otherHeaders are the names of the headers other than Authorization.
func otherHeaders(h docker.RegistryHost) []string {
	names := slices.Sorted(maps.Keys(h.Header))
	return slices.DeleteFunc(names, func(n string) bool { return strings.EqualFold(n, "Authorization") })
}

// describe fills in whose login a header is, and when it expires.
func describe(c *Credential, header string, meant *credprovider.HostExplanation) {
	c.What = "login"
	scheme, encoded, _ := strings.Cut(header, " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if !strings.EqualFold(scheme, "Basic") || err != nil {
		return
	}
	username, password, _ := strings.Cut(string(raw), ":")
	c.Username = neterr.Line(username, maxForeign)
	if username == "AWS" {
		c.What = "ECR token"
		c.Expires = when(ecrExpiry(password))
	}
	if meant != nil && meant.Username == username && meant.Password.Reveal() == password {
		c.What, c.Expires = kind(meant.Rule), when(meant.Expires)
	}
}

// ecrExpiry reads the expiry of an ECR token from the token itself, which is JSON in base64. That
// format is not documented, so a token without it is no error.
func ecrExpiry(token string) time.Time {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return time.Time{}
	}
	var body struct {
		Expiration int64 `json:"expiration"`
	}
	if json.Unmarshal(raw, &body) != nil || body.Expiration <= 0 {
		return time.Time{}
	}
	return time.Unix(body.Expiration, 0)
}

func kind(rule string) string {
	if strings.HasPrefix(rule, "ecr") {
		return "ECR token"
	}
	return "login"
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
