package config

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// asJSON converts YAML to JSON values; ok is false if it is not YAML or has keys that JSON cannot
// have.
func asJSON(t *testing.T, document string) (value any, ok bool) {
	t.Helper()
	var fromYAML any
	if yaml.Unmarshal([]byte(document), &fromYAML) != nil {
		return nil, false
	}
	text, err := json.Marshal(fromYAML)
	if err != nil {
		return nil, false
	}
	if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return value, true
}

// schemaNode is a part of the schema, decoded from JSON.
type schemaNode map[string]any

func (n schemaNode) resolve(root schemaNode) schemaNode {
	ref, ok := n["$ref"].(string)
	if !ok {
		return n
	}
	return root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
}

func (n schemaNode) child(root schemaNode, keys ...string) schemaNode {
	for _, key := range keys {
		next, ok := n[key].(map[string]any)
		if !ok {
			return nil
		}
		n = schemaNode(next).resolve(root)
	}
	return n
}

// has reports whether the schema accepts a JSON type.
func (n schemaNode) has(jsonType string) bool {
	switch types := n["type"].(type) {
	case string:
		return types == jsonType
	case []any:
		return slices.Contains(types, any(jsonType))
	}
	return false
}

// TestSchemaMatchesTypes compares the schema and the Go types in both directions: every field, its
// type, its default and its words.
func TestSchemaMatchesTypes(t *testing.T) {
	var root schemaNode
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	compareObject(t, root, root, reflect.TypeFor[Config](), "")
}

func compareObject(t *testing.T, root, n schemaNode, typ reflect.Type, path string) {
	if n["additionalProperties"] != false {
		t.Errorf("%s: additionalProperties is not false", path)
	}
	properties, _ := n["properties"].(map[string]any)
	names := syntax.FieldNames(typ)
	for name := range properties {
		if !slices.Contains(names, name) {
			t.Errorf("%s%s is in the schema and not in %v", path, name, typ)
		}
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		if properties[name] == nil {
			t.Errorf("%s%s is not in the schema", path, name)
			continue
		}
		compareField(t, root, n.child(root, "properties", name), f, path+name)
	}
}

func compareField(t *testing.T, root, n schemaNode, f reflect.StructField, path string) {
	typ := f.Type
	if description, _ := n["description"].(string); description == "" {
		t.Errorf("%s has no description", path)
	}
	if !reflect.DeepEqual(n["default"], wantDefault(f)) {
		t.Errorf("%s: the schema's default is %v, the type's %v", path, n["default"], wantDefault(f))
	}
	if words := wordsOf(typ); words != nil {
		if !reflect.DeepEqual(n["enum"], append(words, nil)) {
			t.Errorf("%s: enum %v, want %v", path, n["enum"], words)
		}
		return
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "string",
		reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}[typ.Kind()]
	if typ == reflect.TypeFor[redact.Secret]() {
		want = "string"
	}
	if !n.has(want) {
		t.Errorf("%s: type %v, want %s", path, n["type"], want)
	}
	switch {
	case typ == reflect.TypeFor[redact.Secret]():
	case typ.Kind() == reflect.Struct:
		compareObject(t, root, n, typ, path+".")
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
		compareObject(t, root, n.child(root, "items"), typ.Elem(), path+"[].")
	}
}

// wordsOf returns the values of an enumeration, nil for another type.
func wordsOf(t reflect.Type) []any {
	return map[reflect.Type][]any{
		reflect.TypeFor[Auth]():            {string(AuthAuto), string(AuthBasic), string(AuthToken)},
		reflect.TypeFor[HealthMode]():      {string(HealthWithdraw), string(HealthReport), string(HealthOff)},
		reflect.TypeFor[Conflict]():        {string(ConflictReport), string(ConflictAdopt)},
		reflect.TypeFor[DockerMode]():      {string(DockerAuto), string(DockerOn), string(DockerOff)},
		reflect.TypeFor[ecr.MissingRole](): {string(ecr.RoleOrNone), string(ecr.RoleOrNode)},
	}[t]
}

// wantDefault returns the default of a field as JSON represents it.
func wantDefault(f reflect.StructField) any {
	text, ok := f.Tag.Lookup("default")
	switch kind := f.Type.Kind(); {
	case kind == reflect.Bool:
		return text == "true" // every bool has a default
	case !ok:
		return nil
	case kind == reflect.Int:
		n, _ := strconv.Atoi(text)
		return float64(n)
	case kind == reflect.Slice:
		var list []any
		for word := range strings.SplitSeq(text, ",") {
			list = append(list, word)
		}
		return list
	}
	return text
}

// TestSchemaTakesGood checks that the schema accepts every document that Parse accepts.
func TestSchemaTakesGood(t *testing.T) {
	compiled := compileSchema(t)
	for name, document := range cases(t, "good") {
		value, ok := asJSON(t, document)
		if !ok {
			t.Errorf("%s is no YAML", name)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefusesBad checks that the schema refuses every wrong form. Mistakes that a schema
// cannot express are listed here.
func TestSchemaRefusesBad(t *testing.T) {
	beyond := map[string]bool{
		"document/bang":          true,                                          // YAML tags are gone in JSON
		"document/two-documents": true, "document/broken-second-document": true, // a schema sees one document
		"mirrors/duplicates": true, "registries/duplicate-hosts": true, // comparing items
		"mirrors/spellings": true, "registries/spellings": true, "node/ecr-spellings": true,
		"registries/password-files": true, "registries/password-as-file": true, // what files hold
		"registries/not-utf-8": true, "registries/not-utf-8-auth": true,
		"registries/docker-config": true, "registries/docker-config-json": true, "registries/docker-config-type": true,
		"registries/docker-config-without-auths": true, "registries/docker-config-empty": true, "registries/docker-config-missing": true,
		"plainhttp/registry": true, "plainhttp/endpoints": true, "plainhttp/default-registry": true, "plainhttp/other-logins": true, "plainhttp/ecr-names": true,
		"podroles/logins": true, "podroles/mirrors": true, "podroles/general": true, // comparing hosts
		"node/health-relations": true, "node/health-short-interval": true,
		"node/proxy": true, "node/proxy-more": true, "node/proxy-no-url": true, // secrets have no pattern: an editor would show what it does not match
	}
	compiled := compileSchema(t)
	refused := 0
	for name, document := range cases(t, "bad") {
		value, ok := asJSON(t, document)
		if !ok {
			continue // not YAML
		}
		err := compiled.Validate(value)
		if err != nil {
			refused++
		}
		if (err == nil) != beyond[name] {
			t.Errorf("%s: the schema says %v; beyond it: %t", name, err, beyond[name])
		}
	}
	if refused < 20 {
		t.Errorf("only %d documents are refused", refused)
	}
}

// cases returns the documents of the archives in a directory of testdata.
func cases(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	archives, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives in %s: %v", dir, err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		theme := strings.TrimSuffix(filepath.Base(path), ".txtar")
		for _, f := range archive.Files {
			if name, ok := strings.CutSuffix(f.Name, ".yaml"); ok {
				all[theme+"/"+name] = string(f.Data)
			}
		}
	}
	return all
}
