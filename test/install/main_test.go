package main

import "testing"

func TestCheckLimits(t *testing.T) {
	good, control := result{stepKills: 5, randomKills: 5}, result{dead: []string{"x"}}
	if err := checkLimits(good, control); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]result{
		"a dead daemon":       {stepKills: 5, randomKills: 5, dead: []string{"x"}},
		"a run that is stuck": {stepKills: 5, randomKills: 5, stuck: []string{"x"}},
		"a node that differs": {stepKills: 5, randomKills: 5, left: []string{"x"}},
		"no kill at all":      {},
		"no kill at any step": {randomKills: 5},
		"no kill at a moment": {stepKills: 5},
	} {
		if checkLimits(r, control) == nil {
			t.Errorf("%s passes", name)
		}
	}
	if checkLimits(good, result{}) == nil {
		t.Error("a harness that sees nothing passes")
	}
}
