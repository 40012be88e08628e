package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"reflect"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/internal/redact"
)

// Hash identifies the config: 12 hexadecimal digits, or "" if Text is no YAML document. Nodes that
// were given the same text have the same hash. Comments and layout do not change it, nor do values
// that may be secrets (passwords, keys, proxies, headers) and the files that Text names: a hash of a
// short password could be guessed from, and metrics show the hash to everyone.
func (f File) Hash() string {
	document, err := syntax.ParseDocument(f.Text)
	if err != nil {
		return ""
	}
	h := hasher{Hash: sha256.New(), secret: secretFields(reflect.TypeFor[Config]())}
	h.node(document)
	return hex.EncodeToString(h.Sum(nil))[:12]
}

type hasher struct {
	hash.Hash
	secret map[string]bool // names of fields whose values are left out
}

func (h hasher) node(n *yaml.Node) {
	// An alias is hashed by its name, so that a document stays as large as it is written.
	fmt.Fprintf(h, "%d %s %q %d\n", n.Kind, n.ShortTag(), n.Value, len(n.Content))
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && h.secret[n.Content[i-1].Value] {
			continue
		}
		h.node(child)
	}
}

// secretFields returns the names of the fields below typ that may hold a secret.
func secretFields(typ reflect.Type) map[string]bool {
	found := map[string]bool{}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for i := range typ.NumField() {
				f := typ.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				if f.Type == reflect.TypeFor[redact.Secret]() || f.Type == reflect.TypeFor[map[string][]string]() {
					found[name] = true
					continue
				}
				walk(f.Type)
			}
		}
	}
	walk(typ)
	return found
}
