package config

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider/ecr"
)

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Each ASCII character and some others are tried in every value with a limited character set.
func TestCharacters(t *testing.T) {
	const digits = "0123456789"
	const arn = "arn:aws:iam::111122223333:role/a"
	for name, c := range map[string]struct {
		takes func(s string) bool
		want  string
	}{
		"the name of a role":   {func(s string) bool { return ecr.IsRoleARN(arn + s + "b") }, letters + digits + "/+=,.@_-"},
		"digits":               {isDigits, digits},
		"no control character": {func(s string) bool { return !hasControl(s) }, letters + digits + " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u0080é\u2028"},
	} {
		for _, r := range append([]rune("\u0080é\u2028"), ascii()...) {
			if got := c.takes(string(r)); got != strings.ContainsRune(c.want, r) {
				t.Errorf("%s: %q is taken: %t", name, r, got)
			}
		}
	}
}

func ascii() (all []rune) {
	for r := rune(0); r < 0x80; r++ {
		all = append(all, r)
	}
	return all
}

func TestIsRoleARN(t *testing.T) {
	for arn, want := range map[string]bool{
		"arn:aws:iam::111122223333:role/a":         true,
		"arn:aws:iam::111122223333:role/path/to/a": true,
		"arn:aws-cn:iam::111122223333:role/a":      true,
		"arn:aws-us-gov:iam::111122223333:role/a":  true,
		"":                                           false,
		"arn:aws:iam::111122223333":                  false,
		"nra:aws:iam::111122223333:role/a":           false,
		"arn:swa:iam::111122223333:role/a":           false,
		"arn:awscn:iam::111122223333:role/a":         false,
		"arn:aws:sts::111122223333:role/a":           false,
		"arn:aws:iam:us-east-1:111122223333:role/a":  false,
		"arn:aws:iam::11112222333:role/a":            false,
		"arn:aws:iam::1111222233334:role/a":          false,
		"arn:aws:iam::11112222333a:role/a":           false,
		"arn:aws:iam::111122223333:user/a":           false,
		"arn:aws:iam::111122223333:role":             false,
		"arn:aws:iam::111122223333:role/":            false,
		"arn:aws:iam::111122223333:role/a/":          false,
		"arn:aws:iam::111122223333:role/a:b":         false,
		"arn:aws:sts::111122223333:assumed-role/a/b": false,
	} {
		if got := ecr.IsRoleARN(arn); got != want {
			t.Errorf("ecr.IsRoleARN(%q) = %t", arn, got)
		}
	}
	for s, want := range map[string]bool{"": false, "1": true, "12": true, "1a": false, "a1": false, "1 2": false} {
		if got := isDigits(s); got != want {
			t.Errorf("isDigits(%q) = %t", s, got)
		}
	}
}

// A proxy address has one of four schemes, or none.
func TestProxySchemes(t *testing.T) {
	n := newNode(t)
	for address, want := range map[string]string{
		"http://p.corp:3128": "", "https://p.corp:3128": "", "socks5://p.corp:1080": "", "socks5h://p.corp:1080": "", "p.corp:3128": "", "http://p.corp/": "",
		"socks4://p.corp:1080": "scheme must be http, https, socks5 or socks5h", "http://p.corp/a": "must not have a path", "http://p.corp?a": "must not have a path",
		"http://p.corp#a": "must not have a path", "http://u:%zz@p.corp": "is not a URL", "http://p.corp:0": "as port",
	} {
		_, warnings, err := n.parse("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nproxy: {httpProxy: \"" + address + "\"}\n")
		if want == "" && (err != nil || len(warnings) > 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v; want %q", address, warnings, err, want)
		}
	}
}
