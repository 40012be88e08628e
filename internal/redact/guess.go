package redact

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// MaybeSecret reports whether text looks like key material and not like a name: a word of it
// changes between capitals, small letters and digits as often as random text, or is the base64 of
// user:password. It cannot recognise a password that is a plain word, so show a value only where it
// has the expected form.
func MaybeSecret(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("/.:@,;?&# \t\r\n\"'", r) }) {
		if looksRandom(word) || encodedLogin(word) {
			return true
		}
	}
	// A key may contain slashes; a path as a whole changes less often than a key.
	return looksRandom(text) || encodedLogin(strings.TrimSpace(text))
}

// minRandom is the shortest word that is checked for randomness.
const minRandom = 8

func looksRandom(word string) bool {
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

// encodedLogin reports whether word is the base64, in either alphabet, of text with a colon.
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
