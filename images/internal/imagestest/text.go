package imagestest

import "github.com/rogpeppe/go-internal/txtar"

// Hex64 is the hexadecimal part of a SHA-256 digest.
const Hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Section returns a file of the archive, "" if it is missing.
func Section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}
