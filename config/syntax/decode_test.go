package syntax

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

type sample struct {
	Kind     string              `yaml:"kind"`
	Password redact.Secret       `yaml:"password"`
	Timeout  time.Duration       `yaml:"timeout" default:"2s"`
	Failures int                 `yaml:"failures" default:"3"`
	TLS      *struct{}           `yaml:"tls"`
	Mirrors  []mirror            `yaml:"mirrors"`
	Headers  map[string][]string `yaml:"headers"`
	Hidden   string              `yaml:"-"`
}

type mirror struct {
	Upstream string   `yaml:"upstream"`
	For      []string `yaml:"for" default:"a,b"`
	Fallback bool     `yaml:"upstreamFallback" default:"true"`
}

func decode(t *testing.T, text string) (sample, error) {
	t.Helper()
	r := &Report{File: "f"}
	node, mistake := ParseDocument([]byte(text))
	if mistake != nil {
		r.Add(mistake)
		return sample{}, r.Result()
	}
	var v sample
	SetDefaults(reflect.ValueOf(&v).Elem())
	d := NewDecoder(r, func(typ reflect.Type, name string) string {
		if typ == reflect.TypeFor[mirror]() && name == "name" {
			return "write upstream"
		}
		return ""
	})
	d.Decode(&Location{Node: node}, reflect.ValueOf(&v).Elem(), node)
	return v, r.Result()
}

func TestDecode(t *testing.T) {
	got, err := decode(t, `
kind: A
password: hunter2
timeout: 1m30s
tls: {}
mirrors:
- &m {upstream: x.corp, for: [c]}
- {<<: *m, upstreamFallback: false}
- upstream: null
headers: {X-Org: [a, b]}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := sample{
		Kind: "A", Password: redact.New("hunter2"), Timeout: 90 * time.Second, Failures: 3, TLS: &struct{}{},
		Mirrors: []mirror{
			{"x.corp", []string{"c"}, true},
			{"x.corp", []string{"c"}, false},
			{"", []string{"a", "b"}, true},
		},
		Headers: map[string][]string{"X-Org": {"a", "b"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every mistake is reported, with its place, and no secret is repeated.
func TestDecodeMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "f: is empty; begin with apiVersion: berth/v1alpha1 and kind: RegistryConfig",
		"kind: [a]\nfailures: x\n":         "f:1:7: kind: must be a string, not a list\nf:2:11: failures: must be a whole number, without quotes",
		"timeout: 5\n":                     `f:1:10: timeout: "5": has no unit; write 5s for seconds or 5ms for milliseconds`,
		"mirrors:\n- upstreem: x\n":        `f:2:3: mirrors[0].upstreem: unknown field; did you mean "upstream"?`,
		"mirrors:\n- name: x\n":            "f:2:3: mirrors[0].name: unknown field; write upstream",
		"kind: A\nkind: B\n":               "f:2:1: kind: is already given on line 1; keep one of them",
		"password: [hunter2]\n":            "f:1:11: password: must be a string, not a list",
		"password: 12345\n":                "f:1:11: password: must be a string; put it in quotes",
		"headers: {\"X-Key:hunter2\": []}": "f:1:11: headers: not a header name; use letters, digits and hyphens, and a space after the colon",
		"Hidden: x\n":                      "f:1:1: Hidden: unknown field; the fields here are kind, password, timeout, failures, tls, mirrors, headers",
		"kind: A\n---\nkind: B\n":          `f:2:1: a second document begins here; a RegistryConfig is one document, so remove the "---" or the rest`,
	} {
		if _, err := decode(t, text); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// Each ASCII character and some others, as a name of RFC 9110, section 5.6.2.
func TestHeaderName(t *testing.T) {
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
	all := []rune("\u0080é\u2028")
	for r := rune(0); r < 0x80; r++ {
		all = append(all, r)
	}
	for _, r := range all {
		if got := isToken(string(r)); got != strings.ContainsRune(token, r) {
			t.Errorf("%q is taken: %t", r, got)
		}
	}
}
