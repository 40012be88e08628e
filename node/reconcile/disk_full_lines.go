package reconcile

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/berth-registry/berth/hostsconf"
)

// withoutSecretLines removes headers from a hosts.toml as package hostsconf renders it: headers
// that its host must not have any more are removed, and a login that is replaced by another one
// for the same host is replaced. It adds nothing, and keeps the hosts, their order and their
// other settings. want holds the hosts as they must be, by URL; a host that is missing in it
// must have no header. header is true if a header is left.
//
// With inPlace the result has the length of body: each such header becomes a comment of dashes.
func withoutSecretLines(body string, want map[string]hostsconf.Host, inPlace bool) (edited string, header bool, err error) {
	var out []string
	var server string
	host, begin := "", -1 // of the header table that is being read
	end := func() {
		if begin >= 0 && len(out) == begin+1 { // no key is left in it
			out = out[:begin]
			if begin > 0 && out[begin-1] == "\n" {
				out = out[:begin-1]
			}
		}
		header = header || begin >= 0 && len(out) > begin
		begin = -1
	}
	for line := range strings.Lines(body) {
		word := strings.TrimSpace(line)
		if strings.HasPrefix(word, "[") || word == "" {
			end()
		}
		switch {
		case strings.HasPrefix(word, "server = "):
			if server, err = strconv.Unquote(strings.TrimPrefix(word, "server = ")); err != nil {
				return "", false, fmt.Errorf("server: %w", err)
			}
		case word == "[header]":
			host, begin = server, len(out)
		case strings.HasPrefix(word, "[host.") && strings.HasSuffix(word, ".header]"):
			quoted := strings.TrimSuffix(strings.TrimPrefix(word, "[host."), ".header]")
			if host, err = strconv.Unquote(quoted); err != nil {
				return "", false, fmt.Errorf("%s: %w", word, err)
			}
			begin = len(out)
		case begin >= 0 && !strings.HasPrefix(word, "#"):
			after := secretLine(line, want[host])
			if inPlace && after != line {
				after = "#" + strings.Repeat("-", len(strings.TrimSuffix(line, "\n"))-1) + "\n"
			}
			if line = after; line == "" {
				continue
			}
		}
		out = append(out, line)
	}
	end()
	edited = strings.Join(out, "")
	return edited, header, sameButHeaders(body, edited)
}

// secretLine returns one header line of a host as it must be, "" for none. The changed value of
// a header that is no login is left for the next normal write.
func secretLine(line string, h hostsconf.Host) string {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " = ")
	name = strings.Trim(name, `"`)
	if name != "Authorization" {
		if _, wanted := h.Header[name]; !wanted {
			return ""
		}
		return line
	}
	value := h.Authorization.Reveal()
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return ""
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	return indent + "Authorization = \"" + value + "\"\n"
}

// sameButHeaders checks with a TOML parser that only headers differ. The error quotes no text
// of the file.
func sameButHeaders(before, after string) error {
	b, okB := withoutHeaders(before)
	a, okA := withoutHeaders(after)
	if !okB || !okA || !reflect.DeepEqual(b, a) {
		return fmt.Errorf("headers cannot be removed: unexpected content")
	}
	return nil
}

func withoutHeaders(body string) (root map[string]any, ok bool) {
	if err := toml.Unmarshal([]byte(body), &root); err != nil {
		return nil, false
	}
	delete(root, "header")
	hosts, _ := root["host"].(map[string]any)
	for _, h := range hosts {
		if table, ok := h.(map[string]any); ok {
			delete(table, "header")
		}
	}
	return root, true
}
