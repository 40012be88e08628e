package main

import (
	"fmt"
	"path"
	"strings"
)

// input is the directory of convert's input, below the trial's. Both versions read the same one, so
// that the paths in their results are the same.
const input = "input"

// dockerStep converts a daemon.json, Docker's directory, a certs.d or one hosts.toml of it. Only
// versions that know these formats have the step; see options.
func dockerStep(c chance) step {
	s := step{alone: true, kind: pick(c, "docker", "docker", "certs.d")}
	args := []string{"convert", "--from", s.kind}
	dir := "/certs.d"
	if s.kind == "docker" {
		dir = "/docker/certs.d"
		daemon := makeDaemon(c)
		if c.in(3) {
			s.command = command{program: berth, args: append(args, "-"), stdin: daemon, form: isYAML}
			return s
		}
		if !c.in(4) {
			s.input = append(s.input, entry{path: "/docker/daemon.json", content: daemon})
		}
	}
	var files []string
	for _, registry := range some(c, 3, foreignDirs...) {
		s.input = append(s.input, foreign(c, path.Join(dir, registry))...)
		files = append(files, path.Join(dir, registry, "hosts.toml"))
	}
	name := path.Dir(path.Join(dir, "x"))
	switch {
	case s.kind == "docker":
		name = "/docker"
	case c.in(4):
		name = files[0]
	}
	if c.in(8) {
		args = args[:1] // guessed
	}
	s.command = command{program: berth, args: append(args, "../"+input+name), form: isYAML}
	return s
}

// makeDaemon returns a daemon.json.
func makeDaemon(c chance) string {
	fields := []string{`"log-driver": "json-file"`}
	list := func(name string, values []string) {
		for i, v := range values {
			values[i] = fmt.Sprintf("%q", v)
		}
		fields = append(fields, fmt.Sprintf("%q: [%s]", name, strings.Join(values, ", ")))
	}
	if !c.in(4) {
		var mirrors []string
		for _, host := range some(c, 3, convertHosts...) {
			mirrors = append(mirrors, pick(c, "", "http://", "https://", "https://")+host+pick(c, "", "", "/v2", "/hub"))
		}
		list("registry-mirrors", mirrors)
	}
	if !c.in(3) {
		list("insecure-registries", some(c, 3,
			"a.corp:5000", "b.corp:80", "http://m.corp", "10.0.0.0/8", "127.0.0.0/8", "localhost:5000", "docker.io", ecrEast, "reg.corp/team"))
	}
	if c.in(3) {
		fields = append(fields, fmt.Sprintf(`"proxies": {"https-proxy": %q, "no-proxy": ".corp"}`,
			pick(c, "http://proxy.corp:3128", "http://u:p@proxy.corp:3128", "proxy.corp", "ftp://proxy.corp")))
	}
	if c.in(6) {
		fields = append(fields, pick(c, `"registry-mirror": ["https://m.corp"]`, `"max-concurrent-downloads": 3`, `"features": {"containerd-snapshotter": true}`))
	}
	if c.in(12) {
		return "{" + strings.Join(fields, ", ") // cut off
	}
	return "{" + strings.Join(fields, ",\n ") + "}\n"
}
