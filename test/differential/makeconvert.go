package main

import (
	"fmt"
	"strings"
)

// convertStep converts settings of another tool, from standard input.
func convertStep(c chance) step {
	s := step{alone: true}
	kind := pick(c, "rke", "k3s", "containerd")
	input := map[string]func(chance) string{"rke": makeRKE, "k3s": makeK3s, "containerd": makeTables}[kind](c)
	args := []string{"convert", "--from", kind, "-"}
	switch c.IntN(12) {
	case 0:
		args = []string{"convert", "-"} // guessed
	case 1:
		args = append(args, "--force")
	case 2:
		args[2] = pick(c, "rke", "k3s", "containerd") // perhaps another one
	case 3:
		kind = ""
		input = pick(c, "", "a: [\n", "cluster_name: x\n", "version = 2\n", "kind: Cluster\napiVersion: provisioning.cattle.io/v1\n")
	}
	s.kind = kind
	s.command = command{program: berth, args: args, stdin: input, form: isYAML}
	return s
}

var (
	convertNames = []string{"docker.io", "a.corp", "a.corp:5000", "b.corp:443", "b.corp:80", "localhost:5000", "127.0.0.1:5000", "*", "registry-1.docker.io"}
	convertHosts = []string{"a.corp", "a.corp:5000", "m.corp", "m.corp:443", "m.corp:5000", "localhost:5000", "registry-1.docker.io", "docker.io", "b.corp:443", "b.corp:80"}
)

// makeRKE returns a cluster.yml.
func makeRKE(c chance) string {
	var b strings.Builder
	b.WriteString("cluster_name: trial\nnodes:\n- address: 10.0.0.1\nprivate_registries:\n")
	for i, url := range some(c, 3, "registry.com:5555/artifactory", "a.corp", "b.corp:443", ecrEast, ecrWest, "docker.io", "http://c.corp") {
		fmt.Fprintf(&b, "- url: %s\n", url)
		if c.in(2) {
			b.WriteString("  user: u\n  password: p\n")
		}
		if i == 0 && c.in(2) {
			b.WriteString("  is_default: true\n")
		}
		switch {
		case strings.Contains(url, ".dkr.ecr.") && !c.in(3):
			fmt.Fprintf(&b, "  ecr_credential_plugin:\n    aws_access_key_id: AKIA%dEXAMPLE\n    aws_secret_access_key: secret%d\n", i, i)
		case c.in(8):
			b.WriteString("  ecr_credential_plugin: {}\n")
		case c.in(8):
			b.WriteString("  ca_cert: /etc/ca.pem\n")
		case c.in(8):
			b.WriteString("  credentialPlugin: {}\n")
		}
	}
	if c.in(3) {
		b.WriteString("services:\n  kubelet:\n    extra_env:\n    - AWS_ACCESS_KEY_ID=AKIAEXAMPLE\n    - AWS_SECRET_ACCESS_KEY=secret\n")
	}
	return b.String()
}

// makeK3s returns a registries.yaml.
func makeK3s(c chance) string {
	var b strings.Builder
	b.WriteString("mirrors:\n")
	for _, name := range some(c, 3, convertNames...) {
		fmt.Fprintf(&b, "  %q:\n    endpoint: [%s]\n", name, endpoints(c))
		if c.in(5) {
			fmt.Fprintf(&b, "    rewrite: {%s}\n", pick(c, `"^(.*)$": "/pre/fix/$1"`, `"(.*)": "pre/$1"`, `"^library/(.*)": "hub/$1"`, `"(.*)": "$1"`))
		}
	}
	if !c.in(3) {
		b.WriteString("configs:\n")
		for _, host := range some(c, 3, convertHosts...) {
			fmt.Fprintf(&b, "  %q:\n", host)
			if c.in(2) {
				b.WriteString("    auth: {username: u, password: p}\n")
			}
			fmt.Fprintf(&b, "    tls: {%s}\n", pick(c, "insecure_skip_verify: true", "ca_file: /etc/ca.pem", "cert_file: /etc/c.pem, key_file: /etc/k.pem", ""))
		}
	}
	if c.in(8) {
		b.WriteString("auths:\n  a.corp: {username: u, password: p}\n")
	}
	return b.String()
}

// makeTables returns a config.toml with deprecated tables.
func makeTables(c chance) string {
	const plugin = `plugins."io.containerd.grpc.v1.cri".registry`
	var b strings.Builder
	fmt.Fprintf(&b, "version = %d\n", pick(c, 2, 2, 2, 3))
	for _, name := range some(c, 3, convertNames...) {
		fmt.Fprintf(&b, "[%s.mirrors.%q]\n  endpoint = [%s]\n", plugin, name, endpoints(c))
	}
	if !c.in(3) {
		for _, host := range some(c, 3, convertHosts...) {
			if c.in(2) {
				fmt.Fprintf(&b, "[%s.configs.%q.auth]\n  username = \"u\"\n  password = \"p\"\n", plugin, host)
			}
			fmt.Fprintf(&b, "[%s.configs.%q.tls]\n  %s\n", plugin, host, pick(c, "insecure_skip_verify = true", "ca_file = \"/etc/ca.pem\"", ""))
		}
	}
	if c.in(8) {
		fmt.Fprintf(&b, "[%s.auths.\"https://a.corp\"]\n  username = \"u\"\n  password = \"p\"\n", plugin)
	}
	return b.String()
}

func endpoints(c chance) string {
	var all []string
	for range 1 + c.IntN(3) {
		all = append(all, fmt.Sprintf("%q", pick(c, "", "http://", "https://", "https://")+pick(c, convertHosts...)+pick(c, "", "", "", "/v2", "/hub", "/v2/hub")))
	}
	return strings.Join(all, ", ")
}
