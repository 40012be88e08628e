package config

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a RegistryConfig, for editors. It covers names,
// types, defaults and the form of values. Only [Load] checks rules across fields and other files.
func Schema() []byte { return slices.Clone(schema) }
