package config

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema gives the JSON Schema (draft 2020-12) of a RegistryConfig, for
// editors. It knows names, types, defaults and the form of values; what depends
// on several fields or on other files, [Load] alone checks.
func Schema() []byte { return slices.Clone(schema) }
