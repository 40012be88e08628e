package imagestest

import "github.com/rogpeppe/go-internal/txtar"

const Hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func Section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}
