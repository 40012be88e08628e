package convert_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/berth-registry/berth/config/convert"
)

// generated generates an input from the parts that matter: registries on loopback and elsewhere
// with the ports that count, endpoints with each scheme and path, tls settings, logins and rules.
// The same seed gives the same input.
func generated(format convert.Format, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 8))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	names := []string{"docker.io", "a.corp", "a.corp:5000", "b.corp:80", "b.corp:443", "localhost", "localhost:80", "localhost:443", "localhost:5000", "127.0.0.1:5000", "*"}
	hosts := []string{"a.corp", "a.corp:5000", "m.corp", "m.corp:443", "m.corp:80", "m.corp:5000", "localhost", "localhost:5000", "registry-1.docker.io", "docker.io", "127.0.0.1:5000", "b.corp:443", "b.corp:80"}
	var b strings.Builder
	section := func(name string, keys []string, body func(key string)) {
		if format == convert.K3s {
			b.WriteString(name + ":\n")
		}
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys[:1+r.IntN(3)] {
			body(key)
		}
	}
	table := func(section, key string) {
		if format == convert.K3s {
			fmt.Fprintf(&b, "  %q:\n", key)
		} else {
			fmt.Fprintf(&b, "[plugins.'io.containerd.grpc.v1.cri'.registry.%s.%q]\n", section, key)
		}
	}
	if format == convert.Containerd {
		b.WriteString("version = " + pick("2", "2", "2", "3") + "\n")
	}
	section("mirrors", append([]string(nil), names...), func(key string) {
		table("mirrors", key)
		var endpoints []string
		for range 1 + r.IntN(3) {
			host := pick(hosts...)
			if key != "*" && r.IntN(3) == 0 {
				host = key
			}
			endpoints = append(endpoints, fmt.Sprintf("%q", pick("", "http://", "https://", "https://")+host+pick("", "", "", "/v2", "/hub", "/v2/hub")))
		}
		rule := pick("", "", "", `"^(.*)$" = "/pre/fix/$1"`, `"(.*)" = "/$1"`, `"^library/(.*)" = "hub/$1"`, `"(.*)" = "pre-$1"`, `"(.*)" = "$1"`)
		if format == convert.K3s {
			fmt.Fprintf(&b, "    endpoint: [%s]\n", strings.Join(endpoints, ", "))
			if rule != "" {
				fmt.Fprintf(&b, "    rewrite: {%s}\n", strings.Replace(rule, " = ", ": ", 1))
			}
		} else {
			fmt.Fprintf(&b, "endpoint = [%s]\n", strings.Join(endpoints, ", "))
			if rule != "" {
				fmt.Fprintf(&b, "rewrite = {%s}\n", rule)
			}
		}
	})
	section("configs", append([]string(nil), hosts...), func(key string) {
		table("configs", key)
		auth := [][2]string{{"username", "u"}, {"password", "p"}}
		tls := [][2]string{{"ca_file", "/etc/certs/ca.pem"}}
		if r.IntN(3) > 0 {
			tls = [][2]string{{"insecure_skip_verify", "true"}}
		}
		which := r.IntN(3)
		for i, part := range [][][2]string{auth, tls} {
			if which != 2 && which != i {
				continue
			}
			var fields []string
			for _, f := range part {
				value := f[1]
				if value != "true" {
					value = fmt.Sprintf("%q", value)
				}
				fields = append(fields, f[0]+map[bool]string{true: ": ", false: " = "}[format == convert.K3s]+value)
			}
			text := "{" + strings.Join(fields, ", ") + "}"
			if format == convert.K3s {
				fmt.Fprintf(&b, "    %s: %s\n", []string{"auth", "tls"}[i], text)
			} else {
				fmt.Fprintf(&b, "%s = %s\n", []string{"auth", "tls"}[i], text)
			}
		}
	})
	return []byte(b.String())
}
