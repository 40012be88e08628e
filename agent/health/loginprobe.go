package health

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

const (
	// loginRequestTimeout is for one request. A cache may have to ask its upstream first.
	loginRequestTimeout = 10 * time.Second
	// maxListBytes limits how many bytes of a list or a manifest are read.
	maxListBytes = 1 << 20
)

// loginProbe sends requests to one endpoint. Only requests made with login set carry the login.
type loginProbe struct {
	transport     http.RoundTripper
	host          string
	base          string // scheme://host
	root, prefix  string // see split
	header        http.Header
	authorization redact.Secret
	tokenRealms   []string
	rootStatus    int // of the API root's answer to a probe, which has no login
}

func newLoginProbe(e Endpoint, rt http.RoundTripper, rootStatus int) *loginProbe {
	lp := &loginProbe{
		transport: rt, host: e.URL.Host, base: e.URL.Scheme + "://" + e.URL.Host,
		header: http.Header{}, authorization: e.Authorization, tokenRealms: e.TokenRealms, rootStatus: rootStatus,
	}
	lp.root, lp.prefix = split(e.URL)
	for name, values := range e.Header {
		lp.header[http.CanonicalHeaderKey(name)] = values
	}
	lp.header.Del("Authorization")
	lp.header.Set("User-Agent", userAgent)
	return lp
}

// probe sends the requests and returns the new fact. Values without an answer stay as before.
// temporary: the error may pass.
func (lp *loginProbe) probe(ctx context.Context, before probestate.Fact, all bool) (after probestate.Fact, temporary bool) {
	after = before
	after.Error, after.WrongLogin = "", false
	if after.Basic == "" {
		after.Basic, after.Redirect = probestate.Unknown, probestate.Unknown
	}
	if isECR(lp.host) {
		after.Basic = probestate.Accepted
	} else {
		basic, realm, err := lp.basic(ctx)
		if realm != "" || basic != probestate.Unknown {
			after.Realm = realm
		}
		if err != nil {
			after.Error, after.WrongLogin = err.Error(), isWrongLogin(err)
			return after, isTemporary(err)
		}
		if basic != probestate.Unknown {
			after.Basic = basic
		}
		if basic == probestate.Refused {
			// Without a header a redirect carries nothing along.
			return after, false
		}
	}
	if !all && after.Redirect != probestate.Unknown {
		return after, false
	}
	redirect, to, err := lp.redirect(ctx)
	if err != nil {
		after.Error = err.Error()
		return after, isTemporary(err)
	}
	if redirect != probestate.Unknown {
		after.Redirect, after.To = redirect, to
	}
	return after, false
}

// inconclusive is the error of a question without an answer. Its text quotes nothing that the
// registry sent.
type inconclusive struct {
	text      string
	temporary bool // it may pass
	// wrongLogin: the registry refuses this username or password.
	wrongLogin bool
}

func (e *inconclusive) Error() string { return e.text }

func isWrongLogin(err error) bool {
	var e *inconclusive
	return errors.As(err, &e) && e.wrongLogin
}

func isTemporary(err error) bool {
	var e *inconclusive
	return errors.As(err, &e) && e.temporary
}

// reply is the answer to one request.
type reply struct {
	status   int
	schemes  map[string]bool // of the challenges, in lower case
	realm    string          // the token server that a 401 names, see masked
	location string
}

// ask sends one request for path on the host, with the login if login is set. read gets the body of
// a 200. The error is an *inconclusive.
func (lp *loginProbe) ask(
	ctx context.Context, method, path string, login bool, extra map[string]string, read func(io.Reader) error,
) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, loginRequestTimeout)
	defer cancel()
	var progress progress
	ctx = withOwner(httptrace.WithClientTrace(ctx, progress.trace()))
	fail := func(err error) (reply, error) {
		_, text := explain(err, ctx.Err(), progress.stage(), loginRequestTimeout)
		return reply{}, &inconclusive{text: text, temporary: true}
	}
	req, err := http.NewRequestWithContext(ctx, method, lp.base+path, nil)
	if err != nil {
		return fail(err)
	}
	maps.Copy(req.Header, lp.header)
	for name, value := range extra {
		req.Header.Set(name, value)
	}
	if login {
		req.Header.Set("Authorization", lp.authorization.Reveal())
	}
	// A RoundTripper follows no redirect.
	resp, err := lp.transport.RoundTrip(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
		return reply{}, &inconclusive{text: statusText(resp.StatusCode), temporary: true}
	}
	if read != nil && resp.StatusCode == http.StatusOK {
		if err := read(io.LimitReader(resp.Body, maxListBytes)); err != nil && ctx.Err() != nil {
			return fail(err)
		}
	}
	r := reply{
		status:   resp.StatusCode,
		schemes:  challengeSchemes(resp.Header.Values("Www-Authenticate")),
		location: resp.Header.Get("Location"),
	}
	if r.status == http.StatusUnauthorized {
		server, _ := realm.Named(resp.Header)
		r.realm = lp.masked(server)
	}
	return r, nil
}

// masked returns a token server that the registry names, "" for none. A foreign name that repeats
// the login is masked.
func (lp *loginProbe) masked(server string) string {
	scheme, _, _ := strings.Cut(lp.base, "://")
	if server == "" || realm.Check(scheme, lp.host, server, lp.tokenRealms) == nil {
		return server
	}
	for _, secret := range lp.secrets() {
		if strings.Contains(server, strings.ToLower(secret)) {
			scheme, _, _ := strings.Cut(server, "://")
			return scheme + "://" + redact.Placeholder
		}
	}
	return server
}

const shortestSecret = 4

// secrets lists what a shown name must not hold: the encoded login and its password, unless the
// password is so short that it is part of any name.
func (lp *loginProbe) secrets() []string {
	_, encoded, _ := strings.Cut(lp.authorization.Reveal(), " ")
	encoded = strings.TrimRight(encoded, "=")
	all := []string{encoded}
	if login, err := base64.RawStdEncoding.DecodeString(encoded); err == nil {
		_, password, _ := strings.Cut(string(login), ":")
		all = append(all, password)
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < shortestSecret })
}

// challengeSchemes returns the schemes, in lower case, of WWW-Authenticate headers (RFC 9110,
// section 11.6.1). One header may hold several challenges.
func challengeSchemes(values []string) map[string]bool {
	schemes := map[string]bool{}
	for _, v := range values {
		for _, part := range splitUnquoted(v) {
			word, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			if word != "" && !strings.ContainsAny(word, `="`) {
				schemes[strings.ToLower(word)] = true
			}
		}
	}
	return schemes
}

// splitUnquoted splits at commas outside quotes.
func splitUnquoted(s string) []string {
	var parts []string
	quoted, escaped, start := false, false, 0
	for i := range len(s) {
		switch {
		case escaped:
			escaped = false
		case quoted && s[i] == '\\':
			escaped = true
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
