package platforms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	butane "github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8syaml "sigs.k8s.io/yaml"

	"github.com/berth-registry/berth/config"
)

// yaml checks each document of a text. The words are those after the language of the block:
// values, config, or json for a block in JSON.
func (c checker) yaml(text, words string) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for n := 1; ; n++ {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) && n > 1 {
			return nil
		}
		if err == nil {
			err = c.document(text, words, &node)
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
	}
}

func (c checker) document(text, words string, node *yaml.Node) error {
	var v any
	if err := node.Decode(&v); err != nil { // a key that is there twice
		return err
	}
	alone, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	object, isObject := v.(map[string]any)
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	switch {
	case words == "values", isFileName(text, "*values*.yaml"):
		return values(v)
	case words == "config", kind == config.Kind:
		return registryConfig(string(alone))
	case strings.HasPrefix(text, "#cloud-config"):
		err = cloudConfig(object)
	case isObject && object["Statement"] != nil:
		return policy(alone)
	case isObject && object["variant"] != nil:
		err = ignition(text)
	case apiVersion != "" && kind != "":
		err = c.kind(apiVersion, kind, object, alone)
	case words == "json":
	case !firstLine.MatchString(text):
		err = errors.New("neither a kind nor the name of the file in a comment in the first line")
	}
	return errors.Join(err, walkStrings(v, c.inside))
}

// goTypes are the kinds of Kubernetes itself, and those of Flux whose module has types alone.
var goTypes = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, rbacv1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, admissionv1.AddToScheme, helmv2.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// kind checks an object by its type, or by its schema.
func (c checker) kind(apiVersion, kind string, object map[string]any, text []byte) error {
	for _, get := range chartValues {
		if v, ok := dig(object, get...); ok && slices.Contains([]string{"HelmRelease", "Application"}, kind) {
			if s, isText := v.(string); isText {
				v = nil
				if err := yaml.Unmarshal([]byte(s), &v); err != nil {
					return err
				}
			}
			if err := values(v); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(get, "."), err)
			}
		}
	}
	if into, err := goTypes.New(schema.FromAPIVersionAndKind(apiVersion, kind)); err == nil {
		return k8syaml.UnmarshalStrict(text, into)
	} else if !runtime.IsNotRegisteredError(err) {
		return err
	}
	name := apiVersion + "/" + kind
	if name == "node.eks.aws/v1alpha1/NodeConfig" {
		return nodeConfig(text)
	}
	if compiled, ok, err := schemaOf(name); err != nil {
		return err
	} else if ok {
		return validate(compiled, object)
	}
	if !slices.Contains(withoutSchema, name) {
		return fmt.Errorf("%s: this test knows neither type nor schema; add it to schemas_test.go", name)
	}
	return nil
}

// chartValues are the places of the chart's values in an object of Flux or Argo CD.
var chartValues = [][]string{
	{"spec", "values"}, {"spec", "source", "helm", "valuesObject"}, {"spec", "source", "helm", "values"},
}

func dig(object map[string]any, keys ...string) (any, bool) {
	var v any = object
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			return nil, false
		}
		v = m[k]
	}
	return v, true
}

// values checks values of Berth's chart, laid over its own as helm does; test/chart renders them.
func values(v any) error {
	compiled, err := chartSchema()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(top, "manifests/chart/values.yaml"))
	if err != nil {
		return err
	}
	var defaults any
	if err := yaml.Unmarshal(raw, &defaults); err != nil {
		return err
	}
	return validate(compiled, overlay(defaults, v))
}

// overlay lays over by its keys; a list replaces a list.
func overlay(under, over any) any {
	u, isMap := under.(map[string]any)
	o, areMaps := over.(map[string]any)
	if !isMap || !areMaps {
		return over
	}
	for key, value := range o {
		u[key] = overlay(u[key], value)
	}
	return u
}

// registryConfig loads a config; files that only a node has may be missing.
func registryConfig(text string) error {
	if !strings.Contains(text, "apiVersion:") {
		text = "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\n" + text
	}
	_, _, err := config.Parse("config.yaml", []byte(text))
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		return err
	}
	var rest []error
	for _, m := range mistakes {
		if !errors.Is(m.Err, fs.ErrNotExist) {
			rest = append(rest, m)
		}
	}
	return errors.Join(rest...)
}

// validate checks a decoded document by a schema.
func validate(compiled *jsonschema.Schema, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// strictly decodes a document into v; an unknown field is an error.
func strictly(text []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	return d.Decode(v)
}

// policy checks a policy of AWS IAM.
func policy(text []byte) error {
	var p struct {
		Version   string `yaml:"Version"`
		Statement []struct {
			Sid       string         `yaml:"Sid"`
			Effect    string         `yaml:"Effect"`
			Action    any            `yaml:"Action"`
			Resource  any            `yaml:"Resource"`
			Principal any            `yaml:"Principal"`
			Condition map[string]any `yaml:"Condition"`
		} `yaml:"Statement"`
	}
	if err := strictly(text, &p); err != nil {
		return err
	}
	if p.Version != "2012-10-17" {
		return fmt.Errorf("the version of the policy is %q", p.Version)
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || s.Action == nil {
			return fmt.Errorf("a statement without an effect or an action: %+v", s)
		}
	}
	return nil
}

// ignition translates a file of Butane. A warning is an error, as with butane --strict.
func ignition(text string) error {
	_, report, err := butane.TranslateBytes([]byte(text), common.TranslateBytesOptions{
		TranslateOptions: common.TranslateOptions{FilesDir: top},
	})
	if err == nil && len(report.Entries) > 0 {
		err = errors.New(report.String())
	}
	return err
}
