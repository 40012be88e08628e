package hostsconf

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	const secret = "c2VjcmV0"
	for name, c := range map[string]struct{ in, want string }{
		"own table": {
			"[host.\"https://h\".header]\n  Authorization = \"Basic c2VjcmV0\"\n  User-Agent = [\"a\"]\n",
			"[host.\"https://h\".header]\n  Authorization = \"[redacted]\"\n  User-Agent = [\"a\"]\n"},
		"any header":      {`header.X-JFrog-Art-Api = "c2VjcmV0"`, `header.X-JFrog-Art-Api = "[redacted]"`},
		"other case":      {"[host.\"https://h\".Header]\nX = \"c2VjcmV0\"\n", "[host.\"https://h\".Header]\nX = \"[redacted]\"\n"},
		"login in a url":  {`server = "https://bob:c2VjcmV0@h"`, `server = "https://[redacted]@h"`},
		"login in a key":  {`[host."https://bob:c2VjcmV0@h"]`, `[host."https://[redacted]@h"]`},
		"inline table":    {`header = {authorization = "Basic c2VjcmV0", accept = 'b'}`, `header = {authorization = "[redacted]", accept = 'b'}`},
		"dotted key":      {`header.X-Api-Key = 'c2VjcmV0'`, `header.X-Api-Key = "[redacted]"`},
		"quoted key":      {`header."X-JFrog-Art-Api-Key" = ["c2VjcmV0", "c2VjcmV0"]`, `header."X-JFrog-Art-Api-Key" = ["[redacted]", "[redacted]"]`},
		"multi-line":      {"header.Cookie = \"\"\"\nc2VjcmV0\n\"\"\"\n", "header.Cookie = \"[redacted]\"\n"},
		"literal":         {"header.Cookie = '''c2VjcmV0'''\n", "header.Cookie = \"[redacted]\"\n"},
		"number":          {"server = \"x\"\nheader.token = 12345\n", "server = \"x\"\nheader.token = "},
		"comment":         {"# Authorization = \"Basic c2VjcmV0\"\n", "# Authorization = \"Basic [redacted]\"\n"},
		"nothing to hide": {"server = \"https://h\"\n", "server = \"https://h\"\n"},
		"no TOML":         {"header = c2VjcmV0", "# [redacted]: this is no valid TOML"},
	} {
		got := string(Mask([]byte(c.in)))
		if !strings.HasPrefix(got, c.want) || strings.Contains(got, secret) || strings.Contains(got, "12345") {
			t.Errorf("%s: Mask(%q) = %q, want %q", name, c.in, got, c.want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("[header]\nAuthorization = \"%s\"\n")
	f.Add("header = {Authorization = [ '%s' ]}")
	f.Add("[host.\"https://h\".header]\nCookie=\"\"\"\n%s\"\"\"")
	f.Fuzz(func(t *testing.T, form string) {
		_ = Mask([]byte(form))
		if !strings.Contains(form, "%s") || strings.Contains(strings.ReplaceAll(form, "%s", ""), "canary") {
			return
		}
		whole := "[header]\nAuthorization = " + quote(form+"canary") + "\n"
		if got := Mask([]byte(whole)); strings.Contains(string(got), "canary") {
			t.Fatalf("Mask(%q) = %q", whole, got)
		}
	})
}
