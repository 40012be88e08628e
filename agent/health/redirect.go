package health

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/node/probestate"
)

const (
	// maxTries limits in how many repositories redirect looks for a blob, redirectRequests how many
	// requests it sends: the catalog, then for each repository tags, index, manifest, blob.
	maxTries         = 3
	redirectRequests = 1 + 4*maxTries

	manifestTypes = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
		"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)

// A name from a registry becomes part of the next request's path, so it must have the form that the
// distribution specification defines.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{32,256}$`)
)

// redirect finds out where the registry redirects a request for a blob. It uses the first blob that
// it finds; if the registry shows none, the result is Unknown.
func (q *loginProbe) redirect(ctx context.Context) (where, to string, err error) {
	// The list begins after last, so that repositories below the prefix come first.
	list := q.root + "/_catalog?n=1"
	below := ""
	if q.prefix != "" {
		below = q.prefix + "/"
		list = q.root + "/_catalog?n=20&last=" + url.QueryEscape(below)
	}
	var repositories []string
	_, err = q.ask(ctx, http.MethodGet, list, true, nil, func(body io.Reader) (err error) {
		repositories, err = firstStrings(body, "repositories", maxTries, func(name string) bool {
			return strings.HasPrefix(name, below) && len(name) < 256 && repositoryName.MatchString(name)
		})
		return err
	})
	if err != nil {
		return probestate.Unknown, "", err
	}
	for _, repository := range repositories {
		if where, to, err := q.redirectIn(ctx, q.root+"/"+repository); err != nil || where != probestate.Unknown {
			return where, to, err
		}
	}
	return probestate.Unknown, "", nil
}

// redirectIn is redirect within one repository, given by its path.
func (q *loginProbe) redirectIn(ctx context.Context, repository string) (where, to string, err error) {
	var tags []string
	_, err = q.ask(ctx, http.MethodGet, repository+"/tags/list?n=1", true, nil, func(body io.Reader) (err error) {
		tags, err = firstStrings(body, "tags", 1, tagName.MatchString)
		return err
	})
	if err != nil || len(tags) == 0 {
		return probestate.Unknown, "", err
	}
	reference := tags[0]
	for range 2 { // an index, then one of its manifests
		var m manifest
		path := repository + "/manifests/" + reference
		r, err := q.ask(ctx, http.MethodGet, path, true, map[string]string{"Accept": manifestTypes}, func(body io.Reader) error {
			return json.NewDecoder(body).Decode(&m)
		})
		if err != nil {
			return probestate.Unknown, "", err
		}
		if where, to := q.classifyRedirect(path, r); where != probestate.Unknown {
			return where, to, nil
		}
		if blob := m.blob(); blob != "" {
			path := repository + "/blobs/" + blob
			r, err := q.ask(ctx, http.MethodGet, path, true, map[string]string{"Range": "bytes=0-0"}, nil)
			if err != nil {
				return probestate.Unknown, "", err
			}
			if r.status == http.StatusOK || r.status == http.StatusPartialContent {
				return probestate.NoRedirect, "", nil
			}
			where, to := q.classifyRedirect(path, r)
			return where, to, nil
		}
		if reference = m.child(); reference == "" {
			break
		}
	}
	return probestate.Unknown, "", nil
}

// classifyRedirect classifies the redirect in r, the answer to a request for path, by the rule of
// net/http (shouldCopyHeaderOnRedirect): the header is carried to the same host name, on any port
// and scheme, and to its subdomains. A redirect within the registry gives Unknown, because it is
// not followed.
func (q *loginProbe) classifyRedirect(path string, r reply) (where, to string) {
	switch r.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return probestate.Unknown, ""
	}
	if r.location == "" {
		return probestate.Unknown, ""
	}
	from, err := url.Parse(q.base + path)
	if err != nil {
		return probestate.Unknown, ""
	}
	dest, err := from.Parse(r.location)
	if err != nil || dest.Host == "" || dest.Scheme != "http" && dest.Scheme != "https" {
		return probestate.Unknown, ""
	}
	here, there := strings.ToLower(from.Hostname()), strings.ToLower(dest.Hostname())
	switch {
	case here == there && from.Scheme == dest.Scheme && port(from) == port(dest):
		return probestate.Unknown, ""
	case here == there:
		// The host name is the registry's own; only the port is foreign.
		if to, err = hostport.Parse(dest.Host); err != nil {
			to = ""
		}
		return probestate.OtherPort, to
	case strings.HasSuffix(there, "."+here) && !strings.ContainsAny(there, ":%"):
		return probestate.Subdomain, ""
	}
	return probestate.OtherHost, ""
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// manifest is the part of an image manifest or an index that redirect needs.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Layers    []descriptor `json:"layers"`
	Config    descriptor   `json:"config"`
}

type descriptor struct {
	Digest string   `json:"digest"`
	Size   int64    `json:"size"`
	URLs   []string `json:"urls"`
}

// blob picks the largest layer, since a registry may serve small ones in another way; without
// layers the config.
func (m manifest) blob() string {
	best := m.Config
	for _, l := range m.Layers {
		if len(l.URLs) == 0 && digestForm.MatchString(l.Digest) && (l.Size > best.Size || best.Digest == m.Config.Digest) {
			best = l
		}
	}
	if !digestForm.MatchString(best.Digest) {
		return ""
	}
	return best.Digest
}

func (m manifest) child() string {
	for _, c := range m.Manifests {
		if digestForm.MatchString(c.Digest) {
			return c.Digest
		}
	}
	return ""
}

// firstStrings reads the JSON object in r until it has found limit strings that want accepts in the
// list under key. It stops there, so the list may be of any length.
func firstStrings(r io.Reader, key string, limit int, want func(string) bool) ([]string, error) {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		if name != key {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return nil, err
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return nil, err // null is an empty list
		}
		var found []string
		for d.More() {
			var s string
			if err := d.Decode(&s); err != nil {
				return found, err
			}
			if want(s) {
				found = append(found, s)
			}
			if len(found) == limit {
				return found, nil
			}
		}
		return found, nil
	}
	return nil, nil
}
