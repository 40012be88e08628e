// Package foreignforms holds the forms of hosts.toml files that other programs and people write:
// those that all releases of containerd read alike, those that only some read, and those that none
// reads. The unit tests of hostsconf and the tests with real daemons use the same list.
package foreignforms

import "strings"

// Registry is the registry whose directory holds the files.
const Registry = "quay.io"

// CAFile is the name of a PEM file beside each hosts.toml, with the authority of the https
// addresses.
const CAFile = "ca.pem"

// Addresses are the addresses that the files name. Only those on loopback depend on the machine.
type Addresses struct {
	Plain string // http://127.0.0.1:PORT
	IPv6  string // http://[::1]:PORT
}

// The https addresses of the files.
const (
	Mirror = "https://mirror.example"
	Second = "https://second.example"
	OnPort = "https://mirror.example:8443"
)

// Form is one form of a hosts.toml.
type Form struct {
	Name string
	// KillsV1 reports that containerd 1.6 and 1.7 crash at the pull.
	KillsV1 bool
	// Unordered reports that containerd 1.6 and 1.7 ask the hosts in any order.
	Unordered bool

	text string
}

// Content returns the file.
func (f Form) Content(a Addresses) []byte {
	return []byte(strings.NewReplacer(
		"@A", Mirror, "@B", Second, "@8443", OnPort, "@P", a.Plain, "@6", a.IPv6,
	).Replace(f.text))
}

// table is a usual host table.
const (
	able  = "capabilities = [\"pull\", \"resolve\"]\n"
	table = "[host.\"@A\"]\n" + able
	other = "[host.\"@B\"]\n" + able
)

// All lists the forms.
func All() []Form {
	var all []Form
	for _, group := range [][]Form{
		common(), timeouts(), inlined(), encodings(), values(), duplicated(), hostTables(),
		capabilities(), servers(), certificates(), headers(), addresses(),
	} {
		all = append(all, group...)
	}
	return all
}

func common() []Form {
	return []Form{
		{Name: "empty"},
		{Name: "comment-only", text: "# nothing\n"},
		{Name: "one-host", text: table},
		{Name: "host-without-keys", text: "[host.\"@A\"]\n"},
		{Name: "two-hosts", text: table + other},
		{Name: "server-and-host", text: "server = \"@B\"\n" + table},
		{Name: "no-newline-at-the-end", text: "[host.\"@A\"]"},
		{Name: "indented", text: "\n  [host.\"@A\"] # first\n\t  capabilities = [ \"pull\" , \"resolve\", ]\n"},
		{Name: "no-toml", text: "mirror: @A\n"},
		{Name: "truncated-string", text: table + "[host.\"@B\"]\nca = \"/etc"},
		{Name: "truncated-table", text: table + "[host.\"@B"},
	}
}

func timeouts() []Form {
	return []Form{
		{Name: "dial-timeout", text: table + "dial_timeout = \"2s\"\n"},
		{Name: "dial-timeout-number", text: table + "dial_timeout = 2\n"},
		{Name: "dial-timeout-no-unit", text: table + "dial_timeout = \"2\"\n"},
		{Name: "dial-timeout-float", text: table + "dial_timeout = 2.5\n"},
		{Name: "dial-timeout-boolean", text: table + "dial_timeout = true\n"},
		{Name: "dial-timeout-array", text: table + "dial_timeout = [\"2s\"]\n"},
		{Name: "dial-timeout-table", text: table + "[host.\"@A\".dial_timeout]\nseconds = 2\n"},
		{Name: "dial-timeout-quoted-key", text: table + "\"dial_timeout\" = 2\n"},
		{Name: "dial-timeout-escaped-key", text: table + "\"dial\\u005ftimeout\" = 2\n"},
		{Name: "dial-timeout-upper-case", text: table + "DIAL_TIMEOUT = 2\n"},
		{Name: "dial-timeout-at-the-root", text: "dial_timeout = 2\n" + table},
		{Name: "dial-timeout-twice", text: table + "dial_timeout = 2\ndial_timeout = 3\n"},
		{Name: "dial-timeout-plain-http", text: "[host.\"@P\"]\ndial_timeout = \"2s\"\n"},
		{Name: "dial-timeout-of-nothing", text: table + "dial_timeout = \"\"\n"},
	}
}

func inlined() []Form {
	return []Form{
		{Name: "inline-host", text: "host = { \"@A\" = { capabilities = [\"pull\", \"resolve\"] } }\n"},
		{Name: "inline-below-host", text: "[host]\n\"@A\" = { capabilities = [\"pull\", \"resolve\"] }\n"},
		{Name: "inline-two-hosts", Unordered: true, text: "host = { \"@A\" = {}, \"@B\" = {} }\n"},
		{Name: "inline-beside-a-table", text: "[host]\n\"@B\" = {}\n" + table},
		{Name: "dotted", text: "host.\"@A\".capabilities = [\"pull\", \"resolve\"]\n"},
		{Name: "dotted-below-host", text: "[host]\n\"@A\".capabilities = [\"pull\", \"resolve\"]\n"},
		{Name: "dotted-with-server", text: "server = \"https://quay.io\"\nhost.\"@A\".skip_verify = false\n"},
		{Name: "dotted-then-table", text: "host.\"@A\".skip_verify = false\n" + other},
		{Name: "dotted-unquoted", text: "[host.mirror.example]\n"},
		{Name: "inline-over-lines", text: "host = {\n  \"@A\" = {},\n}\n"},
		{Name: "inline-with-a-last-comma", text: "a = { b = 1, }\n" + table},
		{Name: "inline-over-lines-in-an-array", text: "a = [ { b = 1,\n c = 2 } ]\n" + table},
		{Name: "inline-with-an-array-over-lines", text: "a = { b = [1,\n 2] }\n" + table},
		{Name: "inline-dial-timeout", text: "host = { \"@A\" = { dial_timeout = 2 } }\n" + "[other]\n"},
	}
}

func encodings() []Form {
	return []Form{
		{Name: "bom", text: "\xef\xbb\xbf" + table},
		{Name: "bom-crlf", text: "\xef\xbb\xbf" + strings.ReplaceAll(table, "\n", "\r\n")},
		{Name: "bom-before-a-comment", text: "\xef\xbb\xbf# mirrors\n" + table},
		{Name: "crlf", text: strings.ReplaceAll(table+other, "\n", "\r\n")},
		{Name: "cr", text: strings.ReplaceAll(table, "\n", "\r")},
		{Name: "cr-in-a-comment", text: "# a\rb\n" + table},
		{Name: "latin1-comment", text: "# f\xfcr den Spiegel\n" + table},
		{Name: "latin1-value", text: "note = \"f\xfcr\"\n" + table},
		{Name: "latin1-header", text: table + "[host.\"@A\".header]\nx-note = \"f\xfcr\"\n"},
		{Name: "nul-comment", text: "# \x00\n" + table},
		{Name: "nul-at-the-end", text: table + "\x00"},
		{Name: "control-comment", text: "# \x01\x7f\n" + table},
		{Name: "control-value", text: "note = \"\x01\"\n" + table},
		{Name: "form-feed", text: table + "\f\n"},
		{Name: "utf16", text: "\xff\xfe" + "[\x00h\x00o\x00s\x00t\x00]\x00\n\x00"},
		{Name: "no-break-space", text: "[host.\"@A\"]\n\u00a0capabilities = [\"pull\"]\n"},
		{Name: "vertical-tab-key", text: "note\v= 1\n" + table},
	}
}

func values() []Form {
	return []Form{
		{Name: "unknown-key", text: "note = \"x\"\n" + table},
		{Name: "unknown-key-of-a-host", text: table + "priority = 1\n"},
		{Name: "unknown-table", text: table + "[note]\nx = 1\n"},
		{Name: "date", text: "since = 2020-01-02\n" + table},
		{Name: "time", text: "at = 07:32:00\n" + table},
		{Name: "date-time", text: "at = 2020-01-02T07:32:00Z\n" + table},
		{Name: "time-without-seconds", text: "at = 07:32\n" + table},
		{Name: "date-time-without-seconds", text: "at = 2020-01-02T07:32Z\n" + table},
		{Name: "date-time-with-a-space", text: "at = 2020-01-02 07:32:00Z\n" + table},
		{Name: "numbers", text: "a = 0x1f\nb = 1_000\nc = +1.5e3\nd = inf\ne = -nan\nf = 0o17\n" + table},
		{Name: "leading-zero", text: "a = 017\n" + table},
		{Name: "mixed-array", text: "a = [1, \"b\", [2]]\n" + table},
		{Name: "array-over-lines", text: "[host.\"@A\"]\ncapabilities = [\n  \"pull\", # one\n  \"resolve\",\n]\n"},
		{Name: "long-string", text: "a = \"\"\"\nb\n\\\n  c\"\"\"\nd = '''e'''\n" + table},
		{Name: "bad-escape", text: "a = \"\\d\"\n" + table},
		{Name: "escape-e", text: "a = \"\\e\"\n" + table},
		{Name: "escape-x", text: "a = \"\\x41\"\n" + table},
		{Name: "escape-x-in-a-key", text: "\"\\x41\" = 1\n" + table},
		{Name: "escaped-backslash-x", text: "a = 'b\\x41'\n" + table},
		{Name: "escaped-key", text: "[host.\"https://mirror\\u002eexample\"]\n"},
		{Name: "literal-key", text: "[host.'@A']\n" + able},
		{Name: "spaces-in-a-header", text: "[ host . \"@A\" ]\n" + able},
		{Name: "quoted-host", text: "[\"host\".\"@A\"]\n"},
		{Name: "empty-key", text: "\"\" = 1\n" + table},
		{Name: "no-value", text: table + "ca =\n"},
		{Name: "two-on-a-line", text: "a = 1 b = 2\n" + table},
		{Name: "skip-verify-string", text: table + "skip_verify = \"true\"\n"},
		{Name: "override-path-string", text: table + "override_path = \"true\"\n"},
		{Name: "override-path-number", text: table + "override_path = 1\n"},
	}
}

func duplicated() []Form {
	return []Form{
		{Name: "table-twice", text: table + table},
		{Name: "table-twice-without-keys", text: "[host.\"@A\"]\n[host.\"@A\"]\n"},
		{Name: "key-twice", text: table + able},
		{Name: "server-twice", text: "server = \"@A\"\nserver = \"@B\"\n[host]\n"},
		{Name: "key-twice-in-two-cases", text: "server = \"@A\"\nSERVER = \"@B\"\n[host]\n"},
		{Name: "header-before-its-host", text: "[host.\"@A\".header]\nx-a = \"b\"\n[host.\"@A\"]\n"},
		{Name: "header-apart-from-its-host", text: table + other + "[host.\"@A\".header]\nx-a = \"b\"\n"},
		{Name: "host-after-its-tables", text: table + "[host]\n"},
		{Name: "host-twice", text: "[host]\n[host]\n" + table},
		{Name: "header-twice", text: table + "[host.\"@A\".header]\nx-a = \"b\"\n[host.\"@A\".header]\nx-b = \"c\"\n"},
		{Name: "dotted-and-table", text: "host.\"@A\".skip_verify = false\n" + table},
	}
}

func hostTables() []Form {
	return []Form{
		{Name: "host-alone", text: "[host]\n"},
		{Name: "plain-key-below-host", text: "[host]\nnote = 1\n"},
		{Name: "plain-key-beside-a-host", KillsV1: true, text: "[host]\nnote = 1\n" + table},
		{Name: "two-plain-keys-below-host", KillsV1: true, text: "[host]\nnote = 1\nother = 2\n"},
		{Name: "misplaced-capabilities", KillsV1: true, text: "[host]\n" + able + table},
		{Name: "misplaced-server", KillsV1: true, text: "[host]\nserver = \"@B\"\n" + table},
		{Name: "array-of-hosts-beside-a-host", KillsV1: true, text: "[[host.\"@B\"]]\n" + table},
		{Name: "array-of-hosts", text: "[[host.\"@A\"]]\n" + able},
		{Name: "array-named-host", text: "[[host]]\nname = \"@A\"\n"},
		{Name: "host-is-a-string", text: "host = \"@A\"\n"},
		{Name: "host-is-an-array", text: "host = [\"@A\"]\n"},
		{Name: "host-is-empty-inline", text: "host = {}\n"},
		{Name: "host-upper-case", text: "[HOST.\"@A\"]\n"},
		{Name: "hosts-with-an-s", text: "[hosts.\"@A\"]\n"},
		{Name: "no-host-table", text: "# the registry itself\nskip_verify = false\n"},
	}
}

func capabilities() []Form {
	of := func(value string) string { return "[host.\"@A\"]\ncapabilities = " + value + "\n" }
	return []Form{
		{Name: "pull-only", text: of(`["pull"]`)},
		{Name: "resolve-only", text: of(`["resolve"]`)},
		{Name: "push-only", text: of(`["push"]`)},
		{Name: "no-capabilities", text: of(`[]`)},
		{Name: "capabilities-upper-case", text: of(`["Pull", "RESOLVE"]`)},
		{Name: "referrers", text: of(`["pull", "resolve", "referrers"]`)},
		{Name: "referrers-upper-case", text: of(`["pull", "resolve", 'Referrers']`)},
		{Name: "referrers-of-the-second", text: table + "[host.\"@B\"]\ncapabilities = [\"pull\", \"resolve\", \"referrers\"]\n"},
		{Name: "referrers-at-the-root", text: "capabilities = [\"pull\", \"resolve\", \"referrers\"]\n" + table},
		{Name: "referrers-escaped", text: of(`["pull", "resolve", "\u0072eferrers"]`)},
		{Name: "unknown-capability", text: of(`["pull", "resolve", "fetch"]`)},
		{Name: "capabilities-string", text: of(`"pull"`)},
		{Name: "capabilities-numbers", text: of(`[1]`)},
		{Name: "capabilities-mixed", text: of(`["pull", 1]`)},
		{Name: "capabilities-nested", text: of(`[["pull", "resolve"]]`)},
		{Name: "root-capabilities-without-server", text: "capabilities = [\"push\"]\n" + table},
	}
}

func servers() []Form {
	return []Form{
		{Name: "server-alone", text: "server = \"@A\"\n"},
		{Name: "server-and-empty-host", text: "server = \"@A\"\n[host]\n"},
		{Name: "server-is-empty", text: "server = \"\"\n" + table},
		{Name: "server-without-scheme", text: "server = \"mirror.example\"\n[host]\n"},
		{Name: "server-with-v2", text: "server = \"@A/v2\"\n[host]\n"},
		{Name: "server-with-a-path", text: "server = \"@A/cache/\"\n[host]\n"},
		{Name: "server-override-path", text: "server = \"@A/cache\"\noverride_path = true\n[host]\n"},
		{Name: "server-with-root-capabilities", text: "server = \"@A\"\ncapabilities = [\"push\"]\n" + other},
		{Name: "server-is-a-number", text: "server = 5\n" + table},
		{Name: "server-is-an-array", text: "server = [\"@A\"]\n[host]\n"},
		{Name: "server-upper-case", text: "SERVER = \"@A\"\n[host]\n"},
		{Name: "server-title-case", text: "Server = \"@A\"\n[host]\n"},
		{Name: "server-below-a-host", text: table + "server = \"@B\"\n"},
		{Name: "server-with-a-bad-escape", text: "server = \"https://%zz\"\n[host]\n"},
		{Name: "server-plain-http", text: "server = \"@P\"\n[host]\n"},
		{Name: "server-plain-http-alone", text: "server = \"@P\"\n"},
		{Name: "server-itself-alone", text: "server = \"https://quay.io\"\n"},
	}
}

func certificates() []Form {
	return []Form{
		{Name: "ca", text: table + "ca = \"ca.pem\"\n"},
		{Name: "ca-list", text: table + "ca = [\"ca.pem\", \"./ca.pem\"]\n"},
		{Name: "ca-missing", text: table + "ca = \"gone.pem\"\n"},
		{Name: "ca-missing-inline", text: "host = { \"@A\" = { ca = \"gone.pem\" } }\n"},
		{Name: "ca-missing-number-timeout", text: table + "ca = \"gone.pem\"\ndial_timeout = 2\n"},
		{Name: "ca-is-a-number", text: table + "ca = 5\n"},
		{Name: "ca-list-of-numbers", text: table + "ca = [5]\n"},
		{Name: "ca-is-a-table", text: table + "[host.\"@A\".ca]\nfile = \"ca.pem\"\n"},
		{Name: "ca-empty-list", text: table + "ca = []\n"},
		{Name: "client-missing", text: table + "client = \"gone.pem\"\n"},
		{Name: "client-pair-of-one", text: table + "client = [[\"ca.pem\"]]\n"},
		{Name: "client-is-a-number", text: table + "client = 5\n"},
		{Name: "skip-verify", text: table + "skip_verify = true\n"},
		{Name: "http-with-skip-verify", text: "[host.\"@P\"]\nskip_verify = true\n"},
		{Name: "http-with-ca", text: "[host.\"@P\"]\nca = \"ca.pem\"\n"},
		{Name: "root-ca-without-server", text: "ca = \"ca.pem\"\n" + table},
	}
}

func headers() []Form {
	return []Form{
		{Name: "header", text: table + "[host.\"@A\".header]\nx-a = \"b\"\n"},
		{Name: "header-list", text: table + "[host.\"@A\".header]\nx-a = [\"b\", \"c\"]\n"},
		{Name: "header-number", text: table + "[host.\"@A\".header]\nx-a = 5\n"},
		{Name: "header-list-of-numbers", text: table + "[host.\"@A\".header]\nx-a = [5]\n"},
		{Name: "header-string", text: table + "header = \"x-a: b\"\n"},
		{Name: "header-inline", text: table + "header = { x-a = \"b\" }\n"},
		{Name: "header-named-dial-timeout", text: table + "[host.\"@A\".header]\ndial_timeout = \"b\"\n"},
		{Name: "header-date", text: table + "[host.\"@A\".header]\nx-a = 2020-01-02\n"},
		{Name: "root-header", text: "[header]\nx-a = \"b\"\n" + table},
	}
}

func addresses() []Form {
	return []Form{
		{Name: "plain-http", text: "[host.\"@P\"]\n" + able},
		{Name: "no-scheme", text: "[host.\"mirror.example\"]\n"},
		{Name: "on-a-port", text: "[host.\"@8443\"]\n"},
		{Name: "with-v2", text: "[host.\"@A/v2\"]\n"},
		{Name: "with-v2-and-prefix", text: "[host.\"@A/v2/hub\"]\noverride_path = true\n"},
		{Name: "with-a-path", text: "[host.\"@A/cache\"]\n"},
		{Name: "with-a-slash", text: "[host.\"@A/\"]\n"},
		{Name: "with-a-query", text: "[host.\"@A?x=y\"]\n"},
		{Name: "bad-address", text: "[host.\"https://%zz\"]\n" + other},
		{Name: "bare-word", text: "[host.mirror]\n"},
		{Name: "ipv6", text: "[host.\"@6\"]\n" + able},
		{Name: "ipv6-after-another", text: table + "[host.\"@6\"]\n" + able},
		{Name: "ipv6-inline", text: "host = { \"@6\" = {} }\n"},
		{Name: "ipv6-dotted", text: "host.\"@6\".skip_verify = false\n"},
		{Name: "ipv6-literal-key", text: "[host.'@6']\n"},
		{Name: "ipv6-server", text: "server = \"@6\"\n[host]\n"},
		{Name: "itself", text: "[host.\"https://quay.io\"]\n" + able},
	}
}
