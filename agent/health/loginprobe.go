package health

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
)

const (
	// loginRequestTimeout is for one request. A cache may have to ask its upstream first.
	loginRequestTimeout = 10 * time.Second
	// maxListBytes limits how many bytes of a list or a manifest are read.
	maxListBytes = 1 << 20
)

// reply is the answer to one request.
type reply struct {
	status   int
	schemes  map[string]bool // of the challenges, in lower case
	realm    string          // the token server that a 401 names, see tokenServer
	location string
}

// ask sends one request for path on the host, with the login if login is set. read gets the body of
// a 200. The error is an *inconclusive.
func (q *loginProbe) ask(ctx context.Context, method, path string, login bool, extra map[string]string, read func(io.Reader) error) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, loginRequestTimeout)
	defer cancel()
	var progress progress
	ctx = withOwner(httptrace.WithClientTrace(ctx, progress.trace()))
	fail := func(err error) (reply, error) {
		_, text := explain(err, ctx.Err(), progress.stage(), loginRequestTimeout)
		return reply{}, &inconclusive{text: text, temporary: true}
	}
	req, err := http.NewRequestWithContext(ctx, method, q.base+path, nil)
	if err != nil {
		return fail(err)
	}
	maps.Copy(req.Header, q.header)
	for name, value := range extra {
		req.Header.Set(name, value)
	}
	if login {
		req.Header.Set("Authorization", q.authorization.Reveal())
	}
	// A RoundTripper follows no redirect.
	resp, err := q.transport.RoundTrip(req)
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
		status: resp.StatusCode, schemes: challengeSchemes(resp.Header.Values("Www-Authenticate")), location: resp.Header.Get("Location"),
	}
	if r.status == http.StatusUnauthorized {
		r.realm = q.tokenServer(resp.Header)
	}
	return r, nil
}

// tokenServer returns the token server that an answer names, "" for none. A foreign name that
// repeats the login is masked.
func (q *loginProbe) tokenServer(answer http.Header) string {
	server, named := realm.Named(answer)
	scheme, _, _ := strings.Cut(q.base, "://")
	if !named || realm.Check(scheme, q.host, server) == nil {
		return server
	}
	for _, secret := range q.secrets() {
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
func (q *loginProbe) secrets() []string {
	_, encoded, _ := strings.Cut(q.authorization.Reveal(), " ")
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
