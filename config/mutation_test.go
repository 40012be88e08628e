package config

import (
	"reflect"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/internal/redact"
)

// everySection has an object of every type, so that each field can be set to a wrong value.
const everySection = head + `
mirrors:
- upstream: docker.io
  endpoints: [{url: a.corp}]
defaultRegistry: {url: b.corp, for: [quay.io]}
registries:
- host: 444455556666.dkr.ecr.us-east-1.amazonaws.com
  tls: {}
  ecr: {credentials: [{instanceProfile: {}}, {static: {}}, {sdk: {profile: p}}], serviceAccount: {}}
ecr:
  credentials: [{instanceProfile: {}}, {static: {}}, {sdk: {profile: p}}]
  registries: [{host: d.corp, account: "111122223333", region: us-east-1, credentials: [{instanceProfile: {}}, {static: {}}, {sdk: {profile: p}}]}]
  serviceAccount: {}
health: {}
proxy: {}
containerd: {}
docker: {}
kubelet: {}
`

// wrong returns values that a field of the type cannot hold.
func wrong(t reflect.Type) []any {
	switch {
	case t == reflect.TypeFor[redact.Secret](), t == reflect.TypeFor[Duration](), t.Kind() == reflect.String:
		return []any{5, true, []any{}, map[string]any{}}
	case t.Kind() == reflect.Bool:
		return []any{"yes", "true", 1, []any{}}
	case t.Kind() == reflect.Int:
		return []any{"1", 1.5, true, -1}
	case t.Kind() == reflect.Slice:
		return []any{"x", 5, map[string]any{"a": "b"}, []any{nil}}
	}
	return []any{"x", 5, []any{}, map[string]any{"no field": 1}}
}

// TestMutations sets every field to every wrong kind of value, and adds an unknown field to every
// object. Parse and the schema must both refuse it, and Parse must name the field.
func TestMutations(t *testing.T) {
	compiled := compileSchema(t)
	refused := func(document any, field string) {
		t.Helper()
		text, err := yaml.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Parse("config.yaml", text)
		if err == nil || !strings.Contains(err.Error(), ": "+field) {
			t.Errorf("%s: Parse says %v to\n%s", field, err, text)
		}
		value, _ := asJSON(t, string(text))
		if compiled.Validate(value) == nil {
			t.Errorf("%s: the schema takes\n%s", field, text)
		}
	}
	fresh := func() map[string]any {
		var document map[string]any
		if err := yaml.Unmarshal([]byte(everySection), &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	if _, _, err := Parse("config.yaml", []byte(everySection)); err != nil {
		t.Fatal(err)
	}
	if value, _ := asJSON(t, everySection); compiled.Validate(value) != nil {
		t.Fatal("the schema refuses what the mutations start from")
	}

	fields := 0
	visit(reflect.TypeFor[Config](), nil, func(path []step, f *reflect.StructField) {
		if f == nil {
			document := fresh()
			object(document, path)["unheardOf"] = "x"
			refused(document, joined(path, "unheardOf"))
			return
		}
		fields++
		name := f.Tag.Get("yaml")
		for _, value := range wrong(f.Type) {
			document := fresh()
			object(document, path)[name] = value
			refused(document, joined(path, name))
		}
	})
	if fields != 111 {
		t.Errorf("%d fields were visited; is one missing?", fields)
	}
}

// step leads from an object to one inside it.
type step struct {
	field string
	index int // in a list; otherwise -1
}

// visit calls f for every field of t and of the types in it, and once per object with a nil field.
func visit(t reflect.Type, path []step, f func([]step, *reflect.StructField)) {
	f(path, nil)
	for i := range t.NumField() {
		field := t.Field(i)
		name, typ := field.Tag.Get("yaml"), field.Type
		if name == "-" {
			continue
		}
		f(path, &field)
		to := func(index int) []step { return append(append([]step{}, path...), step{name, index}) }
		switch {
		case typ.Kind() == reflect.Pointer && t == reflect.TypeFor[ECRCredential]():
			// instanceProfile, static and sdk are the first, second and third of the credentials.
			visit(typ.Elem(), append(append([]step{}, path[:len(path)-1]...), step{"credentials", i}, step{name, -1}), f)
		case typ.Kind() == reflect.Pointer:
			visit(typ.Elem(), to(-1), f)
		case typ.Kind() == reflect.Struct && typ != reflect.TypeFor[redact.Secret]():
			visit(typ, to(-1), f)
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
			visit(typ.Elem(), to(0), f)
		}
	}
}

// object returns the mapping at path.
func object(document map[string]any, path []step) map[string]any {
	for _, s := range path {
		next := document[s.field]
		if s.index >= 0 {
			next = next.([]any)[s.index]
		}
		document = next.(map[string]any)
	}
	return document
}

// joined returns the path as errors write it.
func joined(path []step, name string) string {
	at := &location{}
	for _, s := range path {
		at = at.Field(s.field)
		if s.index >= 0 {
			at = at.Item(s.index)
		}
	}
	return at.Field(name).Path()
}
