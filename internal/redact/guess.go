package redact

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// MaybeSecret reports whether text looks like key material and not like a name: a
// word of it changes between capitals, small letters and digits as often as a
// random string does, or is the base64 of user:password. A password that is a plain
// word is not recognised: show only what belongs where it was written.
func MaybeSecret(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("/.:@,;?&# \t\r\n\"'", r) }) {
		if random(word) || encodedLogin(word) {
			return true
		}
	}
	// A key may hold slashes; a path is not so restless as a whole.
	return random(text) || encodedLogin(strings.TrimSpace(text))
}

// minRandom is the shortest word that is judged by how restless it is.
const minRandom = 8

func random(word string) bool {
	const other, lower, upper, digit = 0, 1, 2, 3
	letters, changes, before := 0, 0, other
	for _, r := range word {
		class := other
		switch {
		case r >= 'a' && r <= 'z':
			class = lower
		case r >= 'A' && r <= 'Z':
			class = upper
		case r >= '0' && r <= '9':
			class = digit
		}
		if class != other {
			letters++
			if before != other && class != before {
				changes++
			}
		}
		before = class
	}
	return letters >= minRandom && changes*5 >= letters*2
}

// encodedLogin reports the base64, of any alphabet, of a text with a colon.
func encodedLogin(word string) bool {
	word = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(word, "="))
	if len(word) < minRandom {
		return false
	}
	decoded, err := base64.RawStdEncoding.DecodeString(word)
	if err != nil || !utf8.Valid(decoded) {
		return false
	}
	control := func(r rune) bool { return r < ' ' && r != '\n' }
	return strings.ContainsRune(string(decoded), ':') && !strings.ContainsFunc(string(decoded), control)
}
