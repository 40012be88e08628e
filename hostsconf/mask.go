package hostsconf

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/internal/tomldoc"
)

// masking says how much of a file may be shown.
type masking struct {
	ours  bool            // Berth wrote the file: only header values are secret
	known map[string]bool // values, as written in a file by Berth, that may be shown
}

// mask returns a hosts.toml in a form that is safe to show. Of a foreign file, for which m is zero, it
// keeps names that containerd knows and values of the expected form; it replaces header values,
// comments, unknown names and logins in addresses. Of a file that is not TOML, nothing is shown.
func (m masking) mask(content []byte) []byte {
	tokens, ok := tokensOf(content)
	if !ok {
		return []byte("# " + redact.Placeholder + ": not valid TOML, so secrets in it cannot be recognised\n")
	}
	var out bytes.Buffer
	at := 0
	for _, t := range tokens {
		out.Write(between(content[at:t.start]))
		written := string(content[t.start:t.end])
		switch {
		case m.ours && !(t.header && t.value && SecretHeader(t.name())), !t.header && t.value && m.known[written]:
			out.WriteString(written)
		default:
			out.WriteString(t.shown(written))
		}
		at = t.end
	}
	out.Write(between(content[at:]))
	return out.Bytes()
}

// comment matches a TOML comment in text between names and values.
var comment = regexp.MustCompile(`#[^\n]*`)

// between returns what may be shown of the text between names and values.
func between(text []byte) []byte {
	text = comment.ReplaceAll(text, []byte("# "+redact.Placeholder))
	rest := comment.ReplaceAll(text, nil)
	if strings.Trim(string(rest), " \t\r\n[]{}=,.") != "" {
		return []byte(redact.Placeholder)
	}
	return text
}

// token is a name or a value in a hosts.toml.
type token struct {
	start, end int
	path       []string // keys that lead to it; of a name, including itself
	text       string   // decoded text
	value      bool
	boolean    bool
	header     bool // it is a header, or inside one
}

func (t token) name() string { return t.path[len(t.path)-1] }

// shown returns the token as written, with anything that may be secret replaced.
func (t token) shown(written string) string {
	hidden := `"` + redact.Placeholder + `"`
	keys := t.path
	if len(keys) > 1 && strings.EqualFold(keys[0], "host") {
		if len(keys) == 2 && !t.value {
			return shownAddress(written, t.text)
		}
		keys = keys[2:]
	}
	switch {
	case !t.value && (t.header || len(keys) == 1) && keyForm.MatchString(t.text) && !redact.MaybeSecret(t.text):
		return written
	case !t.value, t.header, len(keys) != 1:
		return hidden
	case t.boolean:
		return written
	}
	// containerd's reader ignores the case of keys.
	switch strings.ToLower(keys[0]) {
	case "server":
		return shownAddress(written, t.text)
	case "capabilities":
		if slices.Contains([]string{"pull", "resolve", "push", "referrers"}, t.text) {
			return written
		}
	case "ca", "client":
		if redact.Path(t.text) != "" {
			return written
		}
	case "dial_timeout":
		if _, err := time.ParseDuration(t.text); err == nil && len(t.text) < 10 {
			return written
		}
	}
	return hidden
}

func shownAddress(written, address string) string {
	switch shown := redact.Address(address); shown {
	case address:
		return written
	case "":
		return `"` + redact.Placeholder + `"`
	default:
		return tomldoc.Quote(shown)
	}
}

// keyForm matches names as hosts.toml and headers use them: words without digits.
var keyForm = regexp.MustCompile(`^[A-Za-z]{1,32}([_-][A-Za-z]{1,32}){0,6}$`)

// SecretHeader reports whether a header of this name may hold a secret. Nearly every header may:
// products choose their own names for headers that carry keys.
func SecretHeader(name string) bool {
	switch strings.ToLower(name) {
	case "accept", "accept-language", "user-agent":
		return false
	}
	return true
}

// tokensOf returns the names and values of a hosts.toml in file order; ok is false if content is
// not TOML.
func tokensOf(content []byte) (tokens []token, ok bool) {
	p := unstable.Parser{KeepComments: false}
	p.Reset(content)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			tokens, table = appendKeys(tokens, nil, e)
		case unstable.KeyValue:
			tokens = appendKeyValue(tokens, table, e)
		}
	}
	if p.Error() != nil {
		return nil, false
	}
	slices.SortFunc(tokens, func(a, b token) int { return a.start - b.start })
	return tokens, true
}

// appendKeys adds the names of a table or key below path. It also returns the full path of the
// table or key.
func appendKeys(tokens []token, path []string, n *unstable.Node) ([]token, []string) {
	path = slices.Clone(path)
	for it := n.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		tokens = appendToken(tokens, path, it.Node(), false)
	}
	return tokens, path
}

func appendKeyValue(tokens []token, path []string, kv *unstable.Node) []token {
	tokens, keys := appendKeys(tokens, path, kv)
	return appendValue(tokens, keys, kv.Value())
}

func appendValue(tokens []token, keys []string, value *unstable.Node) []token {
	switch value.Kind {
	case unstable.InlineTable:
		for it := value.Children(); it.Next(); {
			tokens = appendKeyValue(tokens, keys, it.Node())
		}
	case unstable.Array:
		for it := value.Children(); it.Next(); {
			tokens = appendValue(tokens, keys, it.Node())
		}
	default:
		tokens = appendToken(tokens, keys, value, true)
	}
	return tokens
}

func appendToken(tokens []token, path []string, n *unstable.Node, value bool) []token {
	start := int(n.Raw.Offset)
	i := slices.IndexFunc(path, func(k string) bool { return strings.EqualFold(k, "header") })
	return append(tokens, token{
		start: start, end: start + int(n.Raw.Length), path: slices.Clone(path), text: string(n.Data),
		value: value, boolean: n.Kind == unstable.Bool, header: i >= 0 && (value || i < len(path)-1),
	})
}
