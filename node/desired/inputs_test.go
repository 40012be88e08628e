package desired

import (
	"testing"

	"github.com/berth-registry/berth/hostsconf"
)

// knows is a [Health] with fixed answers.
type knows map[string]bool

func (k knows) Alive(u hostsconf.URL) (alive, known bool) {
	alive, known = k[u.Host]
	return alive || !known, known
}

func TestUnsure(t *testing.T) {
	host := func(name string) hostsconf.Host {
		return hostsconf.Host{URL: hostsconf.URL{Scheme: "https", Host: name}}
	}
	upstream := host("up")
	for _, c := range []struct {
		knows  knows
		unsure bool
	}{
		{knows{}, false},
		{knows{"a": false}, true},
		{knows{"a": false, "b": true}, false},
		{knows{"a": false, "up": true}, false},
		{knows{"a": false, "b": false}, true}, // the upstream may answer
		{knows{"a": false, "b": false, "up": false}, false},
		{knows{"a": true}, false},
		{knows{"up": false}, false},
	} {
		if got := (Inputs{Health: c.knows}).unsure([]hostsconf.Host{host("a"), host("b")}, &upstream); got != c.unsure {
			t.Errorf("%v: unsure %t", c.knows, got)
		}
	}
}
