package config

import (
	"bytes"
	"net/netip"
	"os"
	"regexp"
	"strings"
)

// variablePrefix begins the names of an operator's own variables. No other name of the environment
// can be used, so that no secret in it gets into a file.
const variablePrefix = "BERTH_"

// reference is a variable in an address: ${NAME}.
var reference = regexp.MustCompile(`\$\{([^${}]*)\}`)

// variableValue is what a value may be: the value of a Kubernetes label, or an IP address. So no
// value adds a port, a path, a login or another host's delimiter to an address.
var variableValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func isVariable(name string) bool {
	switch name {
	case "NODE_NAME", "NODE_IP", "ZONE", "REGION":
		return true
	}
	return strings.HasPrefix(name, variablePrefix) && len(name) > len(variablePrefix) &&
		!strings.ContainsFunc(name, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' })
}

// variables are the values of ${NAME} in one document.
type variables struct {
	values map[string]string
	kept   bool // use values only, and not the environment
}

// value returns the value of a variable, and whether it is set. It records what the environment has.
func (v variables) value(name string) (string, bool) {
	value, ok := v.values[name]
	if !ok && !v.kept {
		if value, ok = os.LookupEnv(name); ok {
			v.values[name] = value
		}
	}
	return value, ok
}

// variables replaces ${NAME} in the fields that are addresses. None of them can hold a "$", so every
// file that was valid without variables means what it meant.
func (c *checker) variables(root *location, text []byte) {
	if !bytes.Contains(text, []byte("${")) {
		return
	}
	mirrors := root.Field("mirrors")
	for i := range c.cfg.Mirrors {
		endpoints := mirrors.Item(i).Field("endpoints")
		for j := range c.cfg.Mirrors[i].Endpoints {
			c.expand(endpoints.Item(j).Field("url"), &c.cfg.Mirrors[i].Endpoints[j].URL)
		}
	}
	if d := c.cfg.DefaultRegistry; d != nil {
		c.expand(root.Field("defaultRegistry").Field("url"), &d.URL)
	}
	registries := root.Field("registries")
	for i := range c.cfg.Registries {
		r, s := &c.cfg.Registries[i], registries.Item(i)
		c.expand(s.Field("host"), &r.Host)
		for j := range r.TokenRealms {
			c.expand(s.Field("tokenRealms").Item(j), &r.TokenRealms[j])
		}
	}
	registries = root.Field("ecr").Field("registries")
	for i := range c.cfg.ECR.Registries {
		r, s := &c.cfg.ECR.Registries[i], registries.Item(i)
		c.expand(s.Field("host"), &r.Host)
		c.expand(s.Field("region"), &r.Region)
	}
}

// expand replaces the variables in the field at s.
func (c *checker) expand(s *location, field *string) {
	fault := ""
	expanded := reference.ReplaceAllStringFunc(*field, func(found string) string {
		name := found[len("${") : len(found)-len("}")]
		value, set := "", false
		if isVariable(name) {
			value, set = c.variableValues.value(name)
		}
		switch {
		case fault != "":
		case !isVariable(name):
			// The name is not repeated: it may be a password that stands at a wrong place.
			fault = "holds ${…} with an unknown name; write ${NODE_NAME}, ${NODE_IP}, ${ZONE}, ${REGION}, or a name that begins with " +
				variablePrefix + ", such as ${" + variablePrefix + "RACK}"
		case value == "":
			fault = "${" + name + "}: the environment variable " + name + " is " +
				map[bool]string{true: "empty", false: "not set"}[set] + "; " + variableSource(name)
		case strings.Contains(value, ":"):
			if addr, err := netip.ParseAddr(value); err != nil || addr.Zone() != "" {
				fault = notAValue(name)
			} else if !strings.Contains(*field, "["+found+"]") {
				return "[" + value + "]"
			}
		case !variableValue.MatchString(value):
			fault = notAValue(name)
		}
		return value
	})
	if fault != "" {
		c.reject(s, "", "%s", fault)
		c.broken[s.Node] = true
		return
	}
	*field = expanded
}

func notAValue(name string) string {
	return "${" + name + "}: the value of the environment variable " + name +
		` must be an IP address, or letters, digits, ".", "_" and "-" that begin and end with a letter or a digit`
}

// variableSource says where a variable gets its value.
func variableSource(name string) string {
	const service = "write %=VALUE into /etc/default/berth; "
	chart := "in the chart: variables: [%]"
	switch name {
	case "ZONE", "REGION":
		chart += ", on nodes with the label topology.kubernetes.io/" + strings.ToLower(name) + ", which Kubernetes copies to pods from 1.35 on"
	case "NODE_NAME", "NODE_IP":
	default:
		chart = "in the chart: extraEnv: [{name: %, value: VALUE}]"
	}
	return strings.ReplaceAll(service+chart, "%", name)
}
