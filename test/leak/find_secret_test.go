package leak

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// canary is part of every secret of the test.
const canary = "canary-7f3a"

var (
	// tokenForm matches the tokens of the fake AWS.
	tokenForm = regexp.MustCompile(`[a-z0-9-]+\.[0-9a-f]{48}`)
	// base64Form matches the base64 of headers and pull secrets.
	base64Form = regexp.MustCompile(`[A-Za-z0-9+/]{12,}`)
)

// shows reports whether a secret is in a text, in plain or in base64.
func shows(text string) bool {
	text = unwrapped(text)
	return strings.Contains(text, canary) || tokenForm.MatchString(text)
}

// unwrapped returns a text followed by its decoded base64.
func unwrapped(text string) string {
	var b strings.Builder
	b.WriteString(text)
	for _, word := range base64Form.FindAllString(text, -1) {
		if plain, err := base64.RawStdEncoding.DecodeString(word); err == nil {
			b.WriteByte('\n')
			b.Write(plain)
		}
	}
	return b.String()
}
