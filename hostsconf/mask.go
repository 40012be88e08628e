package hostsconf

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berth-registry/berth/internal/redact"
)

// Mask gives the content of a hosts.toml, ours or somebody else's, with every
// value that may be a secret replaced, so that it can be shown. A file that is
// no TOML is not shown at all.
func Mask(content []byte) []byte {
	ranges, ok := secretRanges(content)
	if !ok {
		return []byte("# " + redact.Placeholder + ": this is no valid TOML, so nobody knows where its secrets are\n")
	}
	var out bytes.Buffer
	at := 0
	for _, r := range ranges {
		if r[0] < at {
			continue
		}
		out.Write(content[at:r[0]])
		out.WriteString(`"` + redact.Placeholder + `"`)
		at = r[1]
	}
	out.Write(content[at:])
	shown := looseCredential.ReplaceAll(out.Bytes(), []byte("${1} "+redact.Placeholder))
	return userinfo.ReplaceAll(shown, []byte("://"+redact.Placeholder+"@"))
}

// looseCredential finds credentials where no parser looks: in comments.
var looseCredential = regexp.MustCompile(`(?i)\b(basic|bearer)\s+[a-z0-9+/=._~-]{4,}`)

// userinfo finds the login of an address.
var userinfo = regexp.MustCompile(`://[^/@\s"']+@`)

// SecretHeader reports whether a header of this name may hold a secret. So may
// nearly every one: products name the headers of their keys as they like.
func SecretHeader(name string) bool {
	switch strings.ToLower(name) {
	case "accept", "accept-language", "user-agent":
		return false
	}
	return true
}

// secretRanges gives the byte ranges of values that may be secrets, in order.
func secretRanges(content []byte) (ranges [][2]int, ok bool) {
	p := unstable.Parser{KeepComments: false}
	p.Reset(content)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = keyParts(e)
		case unstable.KeyValue:
			ranges = appendSecrets(ranges, &p, table, e)
		}
	}
	if p.Error() != nil {
		return nil, false
	}
	slices.SortFunc(ranges, func(a, b [2]int) int { return a[0] - b[0] })
	return ranges, true
}

func keyParts(n *unstable.Node) []string {
	var parts []string
	for it := n.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	return parts
}

// appendSecrets looks at one key and its value; path is the table around it.
func appendSecrets(ranges [][2]int, p *unstable.Parser, path []string, kv *unstable.Node) [][2]int {
	keys := append(slices.Clone(path), keyParts(kv)...)
	value := kv.Value()
	if value.Kind == unstable.InlineTable {
		for it := value.Children(); it.Next(); {
			ranges = appendSecrets(ranges, p, keys, it.Node())
		}
		return ranges
	}
	// containerd's reader does not care about the case of keys.
	i := slices.IndexFunc(keys, func(k string) bool { return strings.EqualFold(k, "header") })
	if i < 0 || !SecretHeader(strings.Join(keys[i+1:], ".")) {
		return ranges
	}
	return appendValues(ranges, p, value)
}

func appendValues(ranges [][2]int, p *unstable.Parser, value *unstable.Node) [][2]int {
	if value.Kind == unstable.Array {
		for it := value.Children(); it.Next(); {
			ranges = appendValues(ranges, p, it.Node())
		}
		return ranges
	}
	if value.Raw.Length == 0 {
		return ranges
	}
	start := int(value.Raw.Offset)
	return append(ranges, [2]int{start, start + int(value.Raw.Length)})
}
