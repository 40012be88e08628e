package config

import (
	"fmt"
	"io/fs"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/syntax"
)

// location is a place in the document.
type location = syntax.Location

// checker validates a decoded Config, normalizes names and reads the files that it names.
type checker struct {
	*syntax.Report
	broken map[*yaml.Node]bool
	cfg    *Config
	mode   fs.FileMode // of the RegistryConfig; 0 if unknown
	files  files

	variableValues variables

	mirrorLines map[string]int // line by normalized upstream
	catchAll    bool           // there is a mirror for "*"
}

func (c *checker) check(root *location) {
	c.header(root)
	c.mirrors(root.Field("mirrors"))
	c.defaultRegistry(root.Field("defaultRegistry"))
	c.registries(root.Field("registries"))
	c.dockerConfig(root.Field("dockerConfigFile"))
	c.ecr(root.Field("ecr"))
	c.registryChains(root.Field("registries"), root.Field("ecr").Field("registries"))
	c.health(root.Field("health"))
	c.proxy(root.Field("proxy"))
	c.containerd(root.Field("containerd"))
	c.docker(root.Field("docker"))
	c.plainHTTP(root)
	c.podRoles(root)
}

// header checks apiVersion and kind.
func (c *checker) header(root *location) {
	for _, f := range []struct{ name, got, want string }{
		{"apiVersion", c.cfg.APIVersion, APIVersion},
		{"kind", c.cfg.Kind, Kind},
	} {
		s := root.Field(f.name)
		switch {
		case c.require(s, "write "+f.name+": "+f.want):
		case f.got != f.want && f.name == "kind" && f.got == "ConfigMap":
			c.reject(s, f.got, "must be %s; give the content of the ConfigMap alone", f.want)
		case f.got != f.want:
			c.reject(s, f.got, "must be %s", f.want)
		}
	}
}

// reject reports a wrong value. [Location.Shown] decides how much of the value is shown.
func (c *checker) reject(s *location, value, format string, args ...any) {
	if c.Full() {
		return
	}
	for at := s; at != nil; at = at.Parent {
		if at.Node != nil && c.broken[at.Node] {
			return // an error for this node has been reported
		}
	}
	line, column := s.Position()
	c.Add(&Error{Line: line, Column: column, Field: s.Path(), Value: s.Shown(value), Message: fmt.Sprintf(format, args...)})
}

// refuse is reject for a fault that is not in the value.
func (c *checker) refuse(s *location, format string, args ...any) { c.reject(s, "", format, args...) }

func (c *checker) warn(s *location, format string, args ...any) {
	line, column := s.Position()
	c.AddWarning(Warning{Line: line, Column: column, Field: s.Path(), Message: fmt.Sprintf(format, args...)})
}

// require reports a missing required field. It returns true if the field must not be checked
// further.
func (c *checker) require(s *location, remedy string) bool {
	if !s.Unset() {
		return c.broken[s.Node]
	}
	c.refuse(s, "is required; %s", remedy)
	return true
}

// empty reports an empty list.
func (c *checker) empty(s *location, remedy string) {
	if n := s.Node; n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		c.refuse(s, "is an empty list; %s", remedy)
	}
}

// oneOf reports a value that is not one of words.
func (c *checker) oneOf(s *location, value string, words ...string) bool {
	for _, word := range words {
		if value == word {
			return true
		}
	}
	message := "must be " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	if near := syntax.Nearest(value, words); near != "" {
		message += `; did you mean "` + near + `"?`
	}
	if value == "" && s.Node != nil {
		message += "; leave it out for the default"
	}
	if s.Name == "auth" && s.Shown(value) == "" && value != "" {
		message += "; a login is written as username and passwordFile"
	}
	c.reject(s, value, "%s", message)
	return false
}

// hasControl reports a control character. Neither a header nor a user name can hold one.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// notPassword reports a control character that no password can hold. Line breaks and tabs are
// valid: a password such as a service account's JSON key is sent as base64.
func notPassword(s string) bool {
	return hasControl(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(s))
}
