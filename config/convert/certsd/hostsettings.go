package certsd

import (
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/internal/redact"
)

// capabilities carries over the capabilities of a host.
func (f *hostsFile) capabilities(e *draft.Endpoint, h docker.RegistryHost, at source.Cursor) {
	if at.Empty() || len(at.Value.Items) == 0 {
		f.uses.pushed = true
		return
	}
	for _, c := range []struct {
		is   docker.HostCapabilities
		name string
	}{
		{docker.HostCapabilityPull, "pull"}, {docker.HostCapabilityResolve, "resolve"},
		{docker.HostCapabilityPush, "push"},
	} {
		if h.Capabilities.Has(c.is) {
			e.Capabilities = append(e.Capabilities, c.name)
		}
	}
	if slices.Equal(e.Capabilities, []string{"pull", "resolve"}) {
		e.Capabilities = nil
	}
	if h.Capabilities.Has(docker.HostCapabilityReferrers) {
		f.Lose(at.Loss("referrers has no counterpart: containerd before 2.2 ignores a file with it",
			"this host is not asked for referrers; pulls are the same"))
	}
}

func (f *hostsFile) dialTimeout(e *draft.Endpoint, at source.Cursor) {
	if at.Text() == "" {
		f.uses.slow = f.uses.slow || e.URL.Scheme == "https"
		return
	}
	// containerd's package has read it.
	switch timeout, err := time.ParseDuration(at.Text()); {
	case err != nil || timeout <= 0 || timeout > 5*time.Minute:
		f.Lose(at.Loss("a timeout must be more than 0 and at most 5m",
			"it is the 2 s that an endpoint has without dialTimeout"))
	case e.URL.Scheme == "http":
		f.Lose(at.Loss("a timeout for http is not carried over: with one some releases of "+
			"containerd try https",
			"containerd waits up to 30 s for this host"))
	default:
		e.DialTimeout = config.Duration(timeout).String()
	}
}

// headers returns the headers of a host without the login, and the login.
func (f *hostsFile) headers(
	h docker.RegistryHost, table source.Cursor, host string,
) (all []draft.Header, found *draft.Login) {
	for _, c := range table.All("[host.\"https://mirror.corp\".header]") {
		values := h.Header[c.Name]
		name := textproto.CanonicalMIMEHeaderKey(c.Name)
		c.Skip()
		if name == "Authorization" {
			if l := f.authorization(c, host, values); l != nil {
				found = l
			}
			continue
		}
		valid := len(values) > 0 && draft.IsHeaderName(c.Name)
		var secrets []redact.Secret
		for _, v := range values {
			valid = valid && utf8.ValidString(v) && !strings.ContainsFunc(v, draft.IsControl)
			secrets = append(secrets, redact.New(v))
		}
		if !valid {
			c.Path = table.Path // the name may hold a secret
			f.Lose(c.Loss("not a valid HTTP header", "it is not sent"))
			continue
		}
		all = append(all, draft.Header{Name: name, Values: secrets})
	}
	slices.SortStableFunc(all, func(a, b draft.Header) int {
		return strings.Compare(a.Name, b.Name)
	})
	return draft.MergeHeaders(all), found
}

// authorization returns the login in an Authorization header, nil if it is not one.
func (f *hostsFile) authorization(c source.Cursor, host string, values []string) *draft.Login {
	r := &draft.Registry{Host: host}
	if len(values) == 1 && len(values[0]) > 6 && strings.EqualFold(values[0][:6], "Basic ") {
		if user, password, ok := draft.DecodeAuth(strings.TrimSpace(values[0][6:])); ok {
			f.SetLogin(c, r, user, password)
			return r.Login
		}
	}
	f.Lose(c.Loss("an Authorization header that is not a Basic login cannot be carried over: "+
		"Berth logs in with a username and a password",
		draft.NoLogin+"; create an access token and write it under registries"))
	return nil
}

// tls returns the tls settings of the table at.
func (f *hostsFile) tls(at source.Cursor) draft.TLS {
	ca := files(at.Fold("ca"), f.dir.path)
	var client [][2]string
	if c := at.Fold("client"); !c.Absent() {
		if c.Value.Kind == source.Scalar {
			client = append(client, [2]string{files(c, f.dir.path)[0]})
		}
		for _, item := range c.Value.Items {
			pair := [2]string{}
			copy(pair[:], files(source.Cursor{In: c.In, Value: item}, f.dir.path))
			client = append(client, pair)
		}
	}
	t := f.tlsOf(at, ca, client)
	t.SkipVerify = at.Fold("skip_verify").Bool() // as containerd does with the same file
	return t
}

// files returns the paths in a string or a list of strings. A relative one is below dir.
func files(c source.Cursor, dir string) (all []string) {
	if c.Absent() {
		return nil
	}
	for _, v := range append(slices.Clone(c.Value.Items), c.Value) {
		if v.Kind == source.Scalar && filepath.IsAbs(v.Text) {
			all = append(all, v.Text)
		} else if v.Kind == source.Scalar {
			all = append(all, filepath.Join(dir, v.Text))
		}
	}
	return all
}
