package config

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/credprovider"
)

// FuzzParse checks that no document makes Parse panic or hang, that errors have positions within
// the document, and that an accepted document has the same meaning after writing and reading it
// again.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, document := range cases(f, dir) {
			f.Add([]byte(document))
		}
	}
	f.Add([]byte(everySection))
	f.Add([]byte(head + "health: &a {<<: *a}\n"))
	f.Add([]byte("\ufeff" + head))
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		cfg, _, err := Parse("config.yaml", data)
		if took := time.Since(start); took > 5*time.Second*raceFactor {
			t.Errorf("takes %v", took)
		}
		if err != nil {
			checkPlaces(t, data, err)
			return
		}
		roundTrip(t, cfg)
	})
}

// FuzzDockerConfig checks that no docker config makes Parse panic, that a login of it is one that HTTP
// and JSON carry unchanged, and that no warning shows a secret.
func FuzzDockerConfig(f *testing.F) {
	dir := newNode(f).dir
	for _, name := range []string{"pull-secret", "unused", "bad-entries", "latin-1-auth", "spellings", "tokens", "bad-type", "bad-json"} {
		data, err := os.ReadFile(filepath.Join(dir, "secrets", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := File{Path: "config.yaml", Text: []byte(head + "dockerConfigFile: docker.json\n"),
			Contents: map[string][]byte{"docker.json": data}}
		cfg, warnings, err := file.Parse()
		if err != nil {
			checkPlaces(t, file.Text, err)
			return
		}
		_, logins := cfg.Logins()
		for _, l := range logins {
			checkDockerLogin(t, l)
		}
		for _, w := range warnings {
			for _, l := range logins {
				// A key is shown, and it may hold the same text.
				if p := l.Password.Reveal(); len(p) > 12 && strings.Contains(w.Message, p) && strings.Count(string(data), p) == 1 &&
					!strings.Contains(noteIdentityToken+noteRegistryToken, p) {
					t.Errorf("%q shows a secret", w)
				}
			}
			if strings.ContainsAny(w.String(), "\n\r\x00") {
				t.Errorf("not one line: %q", w)
			}
		}
	})
}

func checkDockerLogin(t *testing.T, l credprovider.Login) {
	password := l.Password.Reveal()
	if _, err := registryHost(l.Name()); err != nil || password == "" || (l.Username == "") != l.Bearer {
		t.Errorf("login of %q: %v, username %q, bearer %t", l.Name(), err, l.Username, l.Bearer)
	}
	if l.Bearer {
		if strings.ContainsAny(password, " \t\r\n\x00") {
			t.Errorf("bearer token %q", password)
		}
		return
	}
	request := &http.Request{Header: http.Header{}}
	request.SetBasicAuth(l.Username, password)
	if u, p, ok := request.BasicAuth(); !ok || u != l.Username || p != password {
		t.Errorf("Basic authentication makes %q, %q of %q, %q", u, p, l.Username, password)
	}
	encoded, err := json.Marshal(password)
	var decoded string
	if err != nil || json.Unmarshal(encoded, &decoded) != nil || decoded != password {
		t.Errorf("JSON makes %q of %q", decoded, password)
	}
}

func checkPlaces(t *testing.T, data []byte, err error) {
	all, ok := err.(Errors)
	if !ok || len(all) == 0 {
		t.Fatalf("the error is a %T", err)
	}
	lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r")
	for _, e := range all {
		if e.Line < 0 || e.Line > lines+1 || (e.Line > 0) != (e.Column > 0) {
			t.Errorf("a place outside of %d lines: %v", lines, e)
		}
		if text := e.Error(); strings.ContainsAny(text, "\n\r\x00") || e.Message == "" {
			t.Errorf("not one line: %q", text)
		}
	}
}

// roundTrip writes cfg and reads it back. Secrets are written redacted, so a config with secrets or
// files is skipped.
func roundTrip(t *testing.T, cfg *Config) {
	text, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "[redacted]") || len(cfg.Files()) > 0 {
		return
	}
	second, _, err := Parse("again.yaml", text)
	if err != nil {
		t.Fatalf("%v\nfor\n%s", err, text)
	}
	for _, c := range []*Config{cfg, second} {
		// Nil and an empty list are the same.
		for i := range c.Mirrors {
			for j := range c.Mirrors[i].Endpoints {
				if e := &c.Mirrors[i].Endpoints[j]; len(e.Headers) == 0 {
					e.Headers = nil
				}
			}
		}
		if len(c.Mirrors) == 0 {
			c.Mirrors = nil
		}
		if len(c.Registries) == 0 {
			c.Registries = nil
		}
		for i := range c.Registries {
			c.Registries[i].PlainHTTPGiven = false // the written config sets every field
			if len(c.Registries[i].TokenRealms) == 0 {
				c.Registries[i].TokenRealms = nil
			}
		}
		if len(c.ECR.Registries) == 0 {
			c.ECR.Registries = nil
		}
	}
	if !reflect.DeepEqual(cfg, second) {
		t.Errorf("read again it is another:\n%+v\n%+v", cfg, second)
	}
}
