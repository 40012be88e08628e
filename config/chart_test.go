package config

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const chartSchemaFile = "../manifests/chart/values.schema.json"

// chartConfig returns the schema in the form that the chart's values need: for helm before 3.18,
// which knows draft 7, with references resolved and without keywords that make helm repeat a value,
// which may be a login. apiVersion and kind are not required, and null or a whole file as text is
// accepted. Mistakes that the templates report with a remedy are left to them.
func chartConfig(t *testing.T) map[string]any {
	t.Helper()
	var root schemaNode
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	config := forChart(root, map[string]any(root)).(map[string]any)
	for _, name := range []string{"$schema", "$defs", "title", "required"} {
		delete(config, name)
	}
	config["type"] = []any{"object", "string", "null"}
	properties := config["properties"].(map[string]any)
	for section, field := range map[string]string{"health": "mode", "containerd": "certsDir", "docker": "mode"} {
		delete(properties[section].(map[string]any), "type")
		fields := properties[section].(map[string]any)["properties"].(map[string]any)
		delete(fields[field].(map[string]any), "type")
		delete(fields[field].(map[string]any), "enum")
	}
	return config
}

func forChart(root schemaNode, value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = forChart(root, v[i])
		}
		return list
	case map[string]any:
		if _, ok := v["$ref"]; ok {
			return forChart(root, map[string]any(schemaNode(v).resolve(root)))
		}
		object := map[string]any{}
		for key, child := range v {
			_, isWord := child.(string)
			switch {
			case key == "pattern" && isWord, key == "propertyNames":
			case key == "dependentRequired":
				object["dependencies"] = child
			default:
				object[key] = forChart(root, child)
			}
		}
		return object
	}
	return value
}

// TestChartSchema checks that the chart's values.schema.json holds the schema (-update writes it),
// so that helm refuses an unknown field and names it.
func TestChartSchema(t *testing.T) {
	text, err := os.ReadFile(chartSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.MarshalIndent(chartConfig(t), "    ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "    \"config\": ", ",\n    \"existingConfigMap\": "
	before, rest, found := strings.Cut(string(text), begin)
	_, after, more := strings.Cut(rest, end)
	if !found || !more {
		t.Fatalf("%s has no config before existingConfigMap", chartSchemaFile)
	}
	want := before + begin + string(config) + end + after
	if *update {
		if err := os.WriteFile(chartSchemaFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(want)
	}
	if string(text) != want {
		t.Errorf("%s differs from schema.json (go test ./config -run TestChartSchema -update rewrites it)", chartSchemaFile)
	}

	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("values.schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("values.schema.json#/properties/config")
	if err != nil {
		t.Fatal(err)
	}
	for name, document := range cases(t, "good") {
		value, _ := asJSON(t, document)
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for values, field := range map[string]string{
		"mirrors: [{upstream: docker.io, endpoint: [x]}]":          "endpoint",
		"mirrors: [{upstream: docker.io, endpoints: [https://x]}]": "/mirrors/0/endpoints/0",
		"registries: [{host: x.corp, url: https://x}]":             "url",
		"registries: [{host: x.corp, tls: true}]":                  "/registries/0/tls",
		"mirors: []": "mirors",
	} {
		value, _ := asJSON(t, values)
		if err := compiled.Validate(value); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want something about %s", values, err, field)
		}
	}
	for values, secret := range map[string]string{
		"registries: [{host: \"u:hunter2@x.corp\"}]":                                    "host",
		"registries: [{host: x.corp, auth: hunter2}]":                                   "auth",
		"mirrors: [{upstream: hunter2 x, endpoints: [{url: \"https://u:hunter2@x\"}]}]": "url",
	} {
		value, _ := asJSON(t, values)
		if err := compiled.Validate(value); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s is repeated: %v", secret, err)
		}
	}
}
