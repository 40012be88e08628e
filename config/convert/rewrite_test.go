package convert_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config/convert"
)

// TestRewrite checks for each rule that the converted url gives the same requests, and that rules
// which no url can express are lost.
func TestRewrite(t *testing.T) {
	for _, test := range []struct {
		pattern, replacement string
		carried              bool
	}{
		{"^(.*)$", "hub/$1", true},
		{"^(.*)$", "/group/dependency_proxy/containers/$1", true},
		{"(.*)", "/$1", true},
		{"(.*)", "$1", true},
		{"(.+)", "hub/$1", true},
		{"^(.+)$", "hub//x/$1", true},
		{"^(.*?)$", "hub/${1}", true},
		{"^((.*))", "hub/$2", true},
		{".*", "hub/$0", true},
		{"^", "hub/", true},
		{"(?s)(.*)", "hub/$1", true},
		{"(.*?)", "hub/$1", false}, // matches the empty text before each character
		{"$", "hub/", false},
		{"^$", "hub/", false},
		{"", "hub/", false},
		{"(.)", "hub/$1", false},
		{"(.{1,5})", "hub/$1", false},
		{"([a-z]+)", "hub/$1", false},
		{"^library/(.*)", "hub/$1", false},
		{"^(.*)/(.*)$", "$1/$2", false},
		{"(.*)", "hub-$1", false},
		{"(.*)", "hub/$1x", false}, // refers to a group named 1x, which is undefined
		{"(.*)", "$1/hub", false},
		{"(.*)", "$1/$1", false},
		{"(.*)", "../$1", false},
		{"(.*)", "hub", false},
		{"(.*)", "hub/a b/$1", false},
		{"a(", "hub/$1", false},
	} {
		for _, endpoint := range []string{"https://m.corp", "m.corp:443/v2", "https://m.corp/v2/base", "https://m.corp/odd", "http://localhost:5000"} {
			input := fmt.Sprintf("mirrors: {docker.io: {endpoint: [%q], rewrite: {%q: %q}}}", endpoint, test.pattern, test.replacement)
			result, err := convert.Convert(convert.K3s, "-", []byte(input), convert.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if carried := len(result.Lost) == 0; carried != test.carried {
				t.Errorf("%s: lost %v", input, result.Lost)
			}
			was := readK3s(t, []byte(input)).asked(t, "docker.io")
			is := install(t, parse(t, "", result.YAML)).asked(t, "docker.io")
			same := slices.EqualFunc(was, is, func(a, b hop) bool { return a.requests() == b.requests() })
			if test.carried && !same {
				t.Errorf("%s: was\n    %s\nis\n    %s", input, list(was), list(is))
			}
		}
	}
}

// TestRewriteOfSeveralRules: k3s tries them in no fixed order.
func TestRewriteOfSeveralRules(t *testing.T) {
	for rules, lost := range map[string]bool{
		`{"(.*)": "$1", "^(.*)$": "hub/$1"}`:    false, // the first changes nothing
		`{"(.*)": "a/$1", "^(.*)$": "b/$1"}`:    true,
		`{"(.*)": "a/$1", "^library/": "b/"}`:   true,
		`{"(.*)": "$1", "^library/(.*)": "$1"}`: true,
		`{}`:                                    false,
	} {
		input := fmt.Sprintf("mirrors: {docker.io: {endpoint: [m.corp], rewrite: %s}}", rules)
		result, err := convert.Convert(convert.K3s, "-", []byte(input), convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(result.Lost) > 0; got != lost {
			t.Errorf("%s: lost %v", rules, result.Lost)
		}
		if lost && !strings.Contains(result.Lost[0].Effect, "under their own name") {
			t.Errorf("%s: %v", rules, result.Lost)
		}
	}
}
