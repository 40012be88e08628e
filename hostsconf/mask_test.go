package hostsconf

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// ofForeign masks a file that Berth did not write.
var ofForeign masking

func TestMask(t *testing.T) {
	const secret = "c2VjcmV0"
	for name, c := range map[string]struct{ in, want string }{
		"own table": {
			"[host.\"https://h\".header]\n  Authorization = \"Basic c2VjcmV0\"\n  User-Agent = [\"a\"]\n",
			"[host.\"https://h\".header]\n  Authorization = \"[redacted]\"\n  User-Agent = [\"[redacted]\"]\n"},
		"any header":      {`header.X-JFrog-Art-Api = "c2VjcmV0"`, `header.X-JFrog-Art-Api = "[redacted]"`},
		"other case":      {"[host.\"https://h\".Header]\nX = \"c2VjcmV0\"\n", "[host.\"https://h\".Header]\nX = \"[redacted]\"\n"},
		"login in a url":  {`server = "https://bob:c2VjcmV0@h.corp"`, `server = "https://[redacted]@h.corp"`},
		"login in a key":  {`[host."https://bob:c2VjcmV0@h.corp"]`, `[host."https://[redacted]@h.corp"]`},
		"inline table":    {`header = {authorization = "Basic c2VjcmV0", accept = 'b'}`, `header = {authorization = "[redacted]", accept = "[redacted]"}`},
		"dotted key":      {`header.X-Api-Key = 'c2VjcmV0'`, `header.X-Api-Key = "[redacted]"`},
		"quoted key":      {`header."X-JFrog-Art-Api-Key" = ["c2VjcmV0", "c2VjcmV0"]`, `header."X-JFrog-Art-Api-Key" = ["[redacted]", "[redacted]"]`},
		"multi-line":      {"header.Cookie = \"\"\"\nc2VjcmV0\n\"\"\"\n", "header.Cookie = \"[redacted]\"\n"},
		"literal":         {"header.Cookie = '''c2VjcmV0'''\n", "header.Cookie = \"[redacted]\"\n"},
		"number":          {"server = \"https://x\"\nheader.token = 12345\n", "server = \"https://x\"\nheader.token = \"[redacted]\"\n"},
		"comment":         {"# Authorization = \"Basic c2VjcmV0\"\n", "# [redacted]\n"},
		"comment behind":  {"server = \"https://h\" # c2VjcmV0\nca = [ # c2VjcmV0\n\"/ca.crt\"]\n", "server = \"https://h\" # [redacted]\nca = [ # [redacted]\n\"/ca.crt\"]\n"},
		"unknown key":     {"password = \"c2VjcmV0\"\nc2VjcmV0 = true\n[plugins.c2VjcmV0]\nx = 1\n", "password = \"[redacted]\"\n\"[redacted]\" = true\n[plugins.\"[redacted]\"]\n\"[redacted]\" = \"[redacted]\"\n"},
		"wrong field":     {"capabilities = [\"pull\", \"c2VjcmV0\"]\nca = \"c2VjcmV0\"\ndial_timeout = \"c2VjcmV0\"\n", "capabilities = [\"pull\", \"[redacted]\"]\nca = \"[redacted]\"\ndial_timeout = \"[redacted]\"\n"},
		"known":           {"[host.\"https://h.corp\"]\n  capabilities = [\"pull\"]\n  ca = \"/ca.crt\"\n  skip_verify = true\n  dial_timeout = \"2s\"\n", "[host.\"https://h.corp\"]\n  capabilities = [\"pull\"]\n  ca = \"/ca.crt\"\n  skip_verify = true\n  dial_timeout = \"2s\"\n"},
		"nothing to hide": {"server = \"https://h\"\n", "server = \"https://h\"\n"},
		"no TOML":         {"header = c2VjcmV0", "# [redacted]: not valid TOML"},
	} {
		got := string(ofForeign.mask([]byte(c.in)))
		if !strings.HasPrefix(got, c.want) || strings.Contains(got, secret) || strings.Contains(got, "12345") {
			t.Errorf("%s: mask(%q) = %q, want %q", name, c.in, got, c.want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("[header]\nAuthorization = \"%s\"\n")
	f.Add("header = {Authorization = [ '%s' ]}")
	f.Add("[host.\"https://h\".header]\nCookie=\"\"\"\n%s\"\"\"")
	f.Fuzz(func(t *testing.T, form string) {
		_ = ofForeign.mask([]byte(form))
		if !strings.Contains(form, "%s") || strings.Contains(strings.ReplaceAll(form, "%s", ""), "canary") {
			return
		}
		whole := "[header]\nAuthorization = " + tomldoc.Quote(form+"canary") + "\n"
		if got := ofForeign.mask([]byte(whole)); strings.Contains(string(got), "canary") {
			t.Fatalf("mask(%q) = %q", whole, got)
		}
	})
}
