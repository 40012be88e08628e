package leak

import (
	"net/url"
	"testing"
)

func at(t *testing.T, s string) place {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return placeOf(u)
}

// The definition of a leak has its own test: above all, a case that does not count must come from a
// place that has the secret anyway.
func TestVerdict(t *testing.T) {
	team := login{host: "harbor.corp", path: "team"}
	for _, c := range []struct {
		where, from, how string
		challenged       bool
		want             verdict
	}{
		{where: "https://harbor.corp/v2/team/app/manifests/v1", want: meant},
		{where: "https://harbor.corp:443/v2/team/app/manifests/v1", want: meant},
		{where: "https://harbor.corp/token", want: meant},
		{where: "https://harbor.corp/v2/team-evil/app/manifests/v1", want: leaked},
		{where: "https://harbor.corp/v2/app/blobs/sha256:0", want: leaked},
		{where: "http://harbor.corp/v2/team/app/manifests/v1", want: leaked},
		{where: "https://harbor.corp:8443/v2/team/app/manifests/v1", want: leaked},
		{where: "https://harbor.corp.evil.example/v2/team/app/manifests/v1", want: leaked},

		{where: "https://auth.example/token", from: "https://harbor.corp/v2/team/app/manifests/v1", how: byRealm, want: realm},
		{where: "https://auth.example/token", from: "https://harbor.corp/v2/app/manifests/v1", how: byRealm, want: leaked},
		{where: "https://auth.example/token", from: "https://mirror.corp/v2/team/app/manifests/v1", how: byRealm, want: leaked},

		{where: "https://harbor.corp:9443/store", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirect, want: sameName},
		{where: "https://b.harbor.corp/store", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirect, want: sameName},
		{where: "https://bharbor.corp/store", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirect, want: leaked},
		{where: "https://store.example/store", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirect, want: leaked},
		{where: "https://store.example/store", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirect, challenged: true, want: asked},
		{where: "https://store.example/store", from: "https://mirror.corp/v2/team/app/blobs/x", how: byRedirect, challenged: true, want: leaked},
		{where: "https://auth.example/token", from: "https://harbor.corp/v2/team/app/blobs/x", how: byRedirectRealm, want: asked},
		{where: "https://auth.example/token", from: "https://mirror.corp/v2/team/app/blobs/x", how: byRedirectRealm, want: leaked},
	} {
		var led *lead
		if c.from != "" {
			led = &lead{from: at(t, c.from), how: c.how}
		}
		if got := verdictOf(team.mayHave, at(t, c.where), led, c.challenged); got != c.want {
			t.Errorf("%s, led by %q from %q: %q, want %q", c.where, c.how, c.from, got, c.want)
		}
	}
}
