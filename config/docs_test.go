package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocsNameEveryField compares the tables of docs/configuration.md with the types in both
// directions: fields, defaults and the words of enumerations.
func TestDocsNameEveryField(t *testing.T) {
	rows := map[string][]string{}
	for line := range strings.Lines(readDocs(t)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		name := strings.Trim(strings.TrimSpace(cells[0]), "`")
		if len(cells) == 3 && strings.HasPrefix(strings.TrimSpace(cells[0]), "`") {
			rows[name] = []string{strings.Trim(strings.TrimSpace(cells[1]), "`"), cells[2]}
		}
	}
	named := map[string]bool{}
	documented(reflect.TypeFor[Config](), "", func(path string, f reflect.StructField) {
		named[path] = true
		row, ok := rows[path]
		if !ok {
			t.Errorf("%s is not documented", path)
			return
		}
		if want, ok := f.Tag.Lookup("default"); ok && row[0] != want {
			t.Errorf("%s: the default is given as %s, it is %s", path, row[0], want)
		} else if !ok && f.Type.Kind() == reflect.Bool && row[0] != "false" {
			t.Errorf("%s: the default is given as %s, it is false", path, row[0])
		}
		for _, word := range wordsOf(f.Type) {
			if !strings.Contains(row[1], "`"+word.(string)+"`") {
				t.Errorf("%s: the word %s is not explained", path, word)
			}
		}
	})
	for path := range rows {
		if !named[path] {
			t.Errorf("%s is documented and does not exist", path)
		}
	}
}

// documented calls f with every field and its path, such as mirrors[].upstream.
func documented(t reflect.Type, prefix string, f func(string, reflect.StructField)) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, typ := prefix+field.Tag.Get("yaml"), field.Type
		if strings.HasSuffix(name, "-") {
			continue
		}
		f(name, field)
		if typ.Kind() == reflect.Slice {
			name, typ = name+"[]", typ.Elem()
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if name == "registries[].ecr.credentials[]" || name == "ecr.registries[].credentials[]" || name == "registries[].ecr.serviceAccount" {
			continue // its fields are those in the section ecr
		}
		if typ.Kind() == reflect.Struct && typ != reflect.TypeFor[redact.Secret]() {
			documented(typ, name+".", f)
		}
	}
}

var block = regexp.MustCompile("(?s)```yaml( wrong)?\n(.*?)```\n(?:\n```text\n(.*?)```)?")

// TestDocsExamples loads every example; for wrong ones the errors must equal those on the page.
func TestDocsExamples(t *testing.T) {
	n := newNode(t)
	n.write(t, "secrets/quay", secretWord, 0o600)
	setVariables(t)
	compiled := compileSchema(t)
	good, bad := 0, 0
	for _, match := range block.FindAllStringSubmatch(readDocs(t), -1) {
		document := match[2]
		if !strings.Contains(document, "apiVersion:") {
			document = head + document
		}
		_, warnings, err := n.parse(document)
		if match[1] != "" {
			bad++
			if err == nil || n.shown(err.Error())+"\n" != match[3] {
				t.Errorf("the page shows\n%s\nParse says\n%v\nto\n%s", match[3], err, document)
			}
			continue
		}
		good++
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v %v for\n%s", err, warnings, document)
		}
		value, _ := asJSON(t, document)
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%v for\n%s", err, document)
		}
	}
	if good < 8 || bad < 2 {
		t.Errorf("%d good and %d bad examples; were some not found?", good, bad)
	}
}

// TestDocsURLs checks the table of urls against the parser.
func TestDocsURLs(t *testing.T) {
	rows := 0
	for line := range strings.Lines(readDocs(t)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[0], " `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		rows++
		u, err := hostsconf.ParseURL(cells[0], cells[1] == "true")
		want := []string{u.String(), map[bool]string{true: "true"}[u.OverridePath], u.Scheme + "://" + u.Host + u.APIPath() + "/…"}
		if err != nil || !slices.Equal(cells[2:], want) {
			t.Errorf("%s: the page says %q, it is %q, %v", cells[0], cells[2:], want, err)
		}
		document := head + "mirrors: [{upstream: a.corp, endpoints: [{url: \"" + cells[0] + "\"}]}]\n"
		if _, _, err := Parse("config.yaml", []byte(document)); err != nil {
			t.Error(err)
		}
	}
	if rows < 11 {
		t.Errorf("only %d rows were found", rows)
	}
}

// TestLoginsPage loads every example of docs/logins.md.
func TestLoginsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/logins.md")
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t)
	for _, name := range []string{"registry", "harbor", "quay", "acr", "docker-hub"} {
		n.write(t, "secrets/"+name, secretWord+"\n", 0o600)
	}
	n.write(t, "secrets/gcp.json", "{\n\"private_key\": \""+secretWord+"\"\n}\n", 0o600)
	examples := 0
	for _, match := range block.FindAllStringSubmatch(string(page), -1) {
		examples++
		if _, warnings, err := n.parse(head + match[2]); err != nil || match[1] != "" || len(warnings) > 0 {
			t.Errorf("%v %v for\n%s", err, warnings, match[2])
		}
	}
	if all := strings.Count(string(page), "```yaml"); examples != all || all < 6 {
		t.Errorf("%d of %d examples were found", examples, all)
	}
}
