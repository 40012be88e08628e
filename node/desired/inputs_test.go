package desired

import (
	"testing"

	"github.com/berth-registry/berth/hostsconf"
)

// fixedHealth is a [Health] with fixed answers.
type fixedHealth map[string]bool

func (k fixedHealth) Alive(u hostsconf.URL) (alive, known bool) {
	alive, known = k[u.Host]
	return alive || !known, known
}

func TestHealthPending(t *testing.T) {
	host := func(name string) hostsconf.Host {
		return hostsconf.Host{URL: hostsconf.URL{Scheme: "https", Host: name}}
	}
	upstream := host("up")
	for _, c := range []struct {
		health fixedHealth
		want   bool
	}{
		{fixedHealth{}, false},
		{fixedHealth{"a": false}, true},
		{fixedHealth{"a": false, "b": true}, false},
		{fixedHealth{"a": false, "up": true}, false},
		{fixedHealth{"a": false, "b": false}, true}, // the upstream may answer
		{fixedHealth{"a": false, "b": false, "up": false}, false},
		{fixedHealth{"a": true}, false},
		{fixedHealth{"up": false}, false},
	} {
		if got := (Inputs{Health: c.health}).healthPending([]hostsconf.Host{host("a"), host("b")}, &upstream); got != c.want {
			t.Errorf("%v: healthPending %t", c.health, got)
		}
	}
}
