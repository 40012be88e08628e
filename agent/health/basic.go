package health

import (
	"context"
	"net/http"

	"github.com/berth-registry/berth/node/probestate"
)

// basicRequests is the most requests that basic sends.
const basicRequests = 2

// probeRepository is a repository that is assumed not to exist. The name is constant, so that
// caches can store the 404.
const probeRepository = "berth-probe/none"

// basic finds out whether the registry accepts Basic on a manifest path. The API root cannot tell:
// registries that insist on Bearer tokens may accept Basic there. realm is the token server that
// the answer to the login names, "" for none: containerd from 2.1 on would send the login there.
func (lp *loginProbe) basic(ctx context.Context) (basic, realm string, err error) {
	path := lp.root + "/" + probeRepository + "/manifests/none"
	if lp.prefix != "" {
		path = lp.root + "/" + lp.prefix + "/" + probeRepository + "/manifests/none"
	}
	accept := map[string]string{"Accept": manifestTypes}
	with, err := lp.ask(ctx, http.MethodHead, path, true, accept, nil)
	if err != nil {
		return probestate.Unknown, "", err
	}
	basic, err = lp.classify(ctx, path, accept, with)
	return basic, with.realm, err
}

// classify reads the answer to the request with the login.
func (lp *loginProbe) classify(
	ctx context.Context, path string, accept map[string]string, with reply,
) (string, error) {
	switch {
	case with.status < http.StatusBadRequest, with.status == http.StatusNotFound:
		// Either the login is accepted or the registry needs none: nothing is refused.
		return probestate.Accepted, nil
	case with.status == http.StatusUnauthorized && with.schemes["basic"]:
		return lp.wrongLogin(ctx)
	case with.status == http.StatusUnauthorized && with.schemes["bearer"]:
		return probestate.Refused, nil
	case with.status == http.StatusUnauthorized:
		return probestate.Unknown, &inconclusive{
			text: "the registry refuses the login (401) and names no way to log in",
		}
	}
	// Refused for another reason. The login was accepted if the same request without it gets a 401.
	without, err := lp.ask(ctx, http.MethodHead, path, false, accept, nil)
	switch {
	case err != nil:
		return probestate.Unknown, err
	case without.status == http.StatusUnauthorized:
		return probestate.Accepted, nil
	case without.status == with.status:
		return probestate.Unknown, nil
	}
	return probestate.Unknown, &inconclusive{
		text: "the registry refuses the request only with the login: " + statusText(with.status),
	}
}

// wrongLogin distinguishes a wrong login from one that may not read the repository: a registry may
// answer both with a challenge for Basic. Only a right login gets 200 from an API root that answers
// 401 without one.
func (lp *loginProbe) wrongLogin(ctx context.Context) (string, error) {
	root, err := lp.ask(ctx, http.MethodGet, lp.root+"/", true, nil, nil)
	switch {
	case err != nil:
		return probestate.Unknown, err
	case root.status == http.StatusOK && lp.rootStatus == http.StatusUnauthorized:
		return probestate.Accepted, nil
	}
	return probestate.Unknown, &inconclusive{
		wrongLogin: true,
		text:       "the registry refuses the login (401): wrong username or password, or no right to read",
	}
}
