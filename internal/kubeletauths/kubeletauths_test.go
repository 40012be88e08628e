package kubeletauths_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/kubeletauths"
	"github.com/berth-registry/berth/internal/redact"
)

// What is valid decides which file kubelet uses. The same cases run through kubelet's own code in
// test/kubelet.
func TestParse(t *testing.T) {
	for _, c := range []struct{ name, content, configJSON, dockerCfg string }{
		{"empty file", "", "invalid", "invalid"},
		{"no JSON", "auths:", "invalid", "invalid"},
		{"cut short", `{"auths": {"a.corp": {"auth": "dTpw"}}`, "invalid", "invalid"},
		{"text behind", `{} x`, "invalid", "invalid"},
		{"null", "null", "", ""},
		{"a list", "[]", "invalid", "invalid"},
		{"empty object", "{}", "", ""},
		{"empty auths", `{"auths": {}}`, "", "auths=:"},
		{"null auths", `{"auths": null}`, "", "auths=:"},
		{"other case", `{"AUTHS": {"a.corp": {"AUTH": "dTpw"}}}`, "a.corp=u:p", "AUTHS=:"},
		{"auth", `{"auths": {"a.corp": {"auth": "dTpw"}}}`, "a.corp=u:p", "auths=:"},
		{"auth wins", `{"auths": {"a.corp": {"username": "x", "password": "y", "auth": "dTpw"}}}`, "a.corp=u:p", "auths=:"},
		{"fields", `{"auths": {"a.corp": {"username": "u", "password": "p"}}}`, "a.corp=u:p", "auths=:"},
		{"padded", `{"auths": {"a.corp": {"auth": "dXU6cA=="}}}`, "a.corp=uu:p", "auths=:"},
		{"without its padding", `{"auths": {"a.corp": {"auth": "dXU6cA"}}}`, "a.corp=uu:p", "auths=:"},
		{"a colon in the password", `{"auths": {"a.corp": {"auth": "dTpwOnE="}}}`, "a.corp=u:p:q", "auths=:"},
		{"no base64", `{"auths": {"a.corp": {"auth": "%%"}}}`, "invalid", "auths=:"},
		{"no colon", `{"auths": {"a.corp": {"auth": "dXA"}}}`, "invalid", "auths=:"},
		{"one bad entry", `{"auths": {"a.corp": {"auth": "dTpw"}, "b.corp": {"auth": "dXA"}}}`, "invalid", "auths=:"},
		{"null entry", `{"auths": {"a.corp": null}}`, "a.corp=:", "auths=:"},
		{"a number", `{"auths": {"a.corp": {"auth": 5}}}`, "invalid", "auths=:"},
		{"email of another type", `{"auths": {"a.corp": {"email": 5}}}`, "invalid", "auths=:"},
		{"a list of auths", `{"auths": []}`, "invalid", "invalid"},
		{"headers", `{"HttpHeaders": {"X": "y"}}`, "", "HttpHeaders=:"},
		{"bad headers", `{"HttpHeaders": {"X": 5}}`, "invalid", "HttpHeaders=:"},
		{"helpers", `{"credsStore": "x", "credHelpers": {"a": "b"}}`, "", "invalid"},
		{"old format", `{"a.corp": {"auth": "dTpw"}}`, "", "a.corp=u:p"},
		{"byte order mark", "\ufeff{}", "invalid", "invalid"},
	} {
		for format, want := range map[kubeletauths.Format]string{kubeletauths.ConfigJSON: c.configJSON, kubeletauths.DockerCfg: c.dockerCfg} {
			logins, err := kubeletauths.Parse(format, []byte(c.content))
			got := "invalid"
			if err == nil {
				var all []string
				for _, l := range logins {
					all = append(all, fmt.Sprintf("%s=%s:%s", l.Host, l.Username, l.Password.Reveal()))
				}
				got = strings.Join(all, " ")
			} else if strings.Contains(err.Error(), "corp") || strings.Contains(err.Error(), "dTpw") {
				t.Errorf("%s: the error quotes the file: %v", c.name, err)
			}
			if got != want {
				t.Errorf("%s as %s: %q, want %q", c.name, format, got, want)
			}
		}
	}
}

// What is written is read back, and is the same for any order of the logins.
func TestEncode(t *testing.T) {
	logins := []kubeletauths.Login{
		{Host: "a.corp", Username: "u", Password: redact.New("p:\"q\"\nr")},
		{Host: "b.corp:5000", Username: "ü", Password: redact.New("<&>\xff")},
	}
	one, err := kubeletauths.Encode(logins)
	if err != nil {
		t.Fatal(err)
	}
	other, err := kubeletauths.Encode([]kubeletauths.Login{logins[1], logins[0]})
	if err != nil || string(one) != string(other) {
		t.Errorf("%v: the order counts", err)
	}
	back, err := kubeletauths.Parse(kubeletauths.ConfigJSON, one)
	if err != nil || len(back) != 2 || back[0] != logins[0] || back[1] != logins[1] {
		t.Errorf("read back: %v, %v", back, err)
	}
}

func TestHolds(t *testing.T) {
	for host, want := range map[string]bool{"a.corp": true, "a.corp:5000": true, "[::1]:5000": true, "[::1]": false, "127.0.0.1": true} {
		if kubeletauths.Holds(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

// FuzzParse: no input makes a panic or shows in an error, and what is read can be written and read
// again.
func FuzzParse(f *testing.F) {
	f.Add(`{"auths": {"a.corp": {"auth": "dTpw"}}}`)
	f.Add(`{"a.corp": {"username": "u", "password": "p"}}`)
	f.Fuzz(func(t *testing.T, content string) {
		for _, format := range []kubeletauths.Format{kubeletauths.ConfigJSON, kubeletauths.DockerCfg} {
			logins, err := kubeletauths.Parse(format, []byte(content))
			if err != nil {
				if err.Error() != "kubelet cannot decode it" {
					t.Errorf("%v", err)
				}
				continue
			}
			written, err := kubeletauths.Encode(logins)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kubeletauths.Parse(kubeletauths.ConfigJSON, written); err != nil {
				t.Errorf("%q is written as %q: %v", content, written, err)
			}
		}
	})
}
