package health

import (
	"context"
	"net/http"

	"github.com/berth-registry/berth/node/probestate"
)

// basicRequests is how many requests it takes, at most, to learn about Basic.
const basicRequests = 2

// probeRepository is a repository that hardly exists. It is always the same name, so
// that a cache can remember that it is not there.
const probeRepository = "berth-probe/none"

// basic finds out whether the registry takes Basic on the path of a manifest.
// The API root does not tell: registries that insist on Bearer tokens may
// accept Basic there. realm is the token server that it names to the login, ""
// for none: containerd from 2.1 on would send the login there.
func (q *loginProbe) basic(ctx context.Context) (basic, realm string, err error) {
	path := q.root + "/" + probeRepository + "/manifests/none"
	if q.prefix != "" {
		path = q.root + "/" + q.prefix + "/" + probeRepository + "/manifests/none"
	}
	accept := map[string]string{"Accept": manifestTypes}
	with, err := q.ask(ctx, http.MethodHead, path, true, accept, nil)
	if err != nil {
		return probestate.Unknown, "", err
	}
	basic, err = q.classify(ctx, path, accept, with)
	return basic, with.realm, err
}

// classify reads the answer to a request with the login.
func (q *loginProbe) classify(ctx context.Context, path string, accept map[string]string, with reply) (string, error) {
	switch {
	case with.status < http.StatusBadRequest, with.status == http.StatusNotFound:
		// Logged in, or a registry where nobody needs to be: as far as can be
		// seen nothing is refused.
		return probestate.Accepted, nil
	case with.status == http.StatusUnauthorized && with.schemes["basic"]:
		return q.wrongLogin(ctx)
	case with.status == http.StatusUnauthorized && with.schemes["bearer"]:
		return probestate.Refused, nil
	case with.status == http.StatusUnauthorized:
		return probestate.Unknown, &inconclusive{text: "the registry refuses the login (401) and does not say how to log in"}
	}
	// Refused for another reason. It is the login that made the difference
	// when the answer without it is to log in.
	without, err := q.ask(ctx, http.MethodHead, path, false, accept, nil)
	switch {
	case err != nil:
		return probestate.Unknown, err
	case without.status == http.StatusUnauthorized:
		return probestate.Accepted, nil
	case without.status == with.status:
		return probestate.Unknown, nil
	}
	return probestate.Unknown, &inconclusive{text: "the registry refuses with the login what it does not refuse without: " + statusText(with.status)}
}

// wrongLogin tells a wrong login from one that may not see the repository: a
// registry may answer both with a challenge for Basic.
func (q *loginProbe) wrongLogin(ctx context.Context) (string, error) {
	root, err := q.ask(ctx, http.MethodGet, q.root+"/", true, nil, nil)
	switch {
	case err != nil:
		return probestate.Unknown, err
	case root.status == http.StatusOK && q.rootStatus == http.StatusUnauthorized:
		return probestate.Accepted, nil
	}
	return probestate.Unknown, &inconclusive{wrongLogin: true, text: "the registry refuses the login (401): username or password are wrong, or may not read here"}
}
