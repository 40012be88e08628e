package main

import (
	"slices"
	"strings"
)

// convertPurposes are about convert. Each difference is of one input.
var convertPurposes = []purpose{
	{
		name: "convert guesses",
		what: "berth convert guesses the kind without --from",
		is: func(c situation, d difference) bool {
			return c.step.alone && c.step.args[1] == "-" && c.did[older].values[atExit] == "2"
		},
	},
	{
		name: "convert of nothing",
		what: "a file without registries, or of another kind than --from says, is an error",
		is: func(c situation, d difference) bool {
			return c.step.alone && c.did[newer].values[atExit] == "1" && c.did[newer].stdout == "" && c.did[older].stdout != "" &&
				(!slices.Contains(c.step.args, c.step.kind) || strings.Contains(c.step.stdin, "version = 3"))
		},
	},
	{
		name: "convert: keys of each ECR registry",
		what: "where several pairs of AWS keys are given, each ECR registry keeps its own",
		is: func(c situation, d difference) bool {
			return c.converts("rke") && strings.Contains(d.name, "|ecr|credentials[") && strings.Contains(c.step.stdin, "aws_access_key_id")
		},
	},
	{
		name: "convert: fields of RKE",
		what: "unknown fields of an RKE entry are listed, credentialPlugin is read, an empty plugin takes no login away",
		is: func(c situation, d difference) bool {
			return c.converts("rke") && (strings.Contains(c.step.stdin, "credentialPlugin: {}") || strings.Contains(c.step.stdin, "ca_cert:") ||
				strings.Contains(c.step.stdin, "ecr_credential_plugin: {}")) && (strings.HasPrefix(d.name, atYAML+"|registries[") ||
				(d.name == atExit || strings.HasPrefix(d.name, atStderr)) && c.did[older].stderr != c.did[newer].stderr)
		},
	},
	{
		name: "convert: prefix rules of k3s",
		what: "a rewrite of k3s that only puts a prefix in front becomes the endpoint's url",
		is: func(c situation, d difference) bool {
			carried := c.did[older].stderr != "" && c.did[newer].stderr == "" && !strings.HasPrefix(d.name, atYAML)
			return c.converts("k3s") && strings.Contains(c.step.stdin, "rewrite:") && (strings.Contains(d.name, "]|endpoints[") || carried)
		},
	},
	{
		name: "convert: registries on this machine",
		what: "registries on this machine keep http or https",
		is: func(c situation, d difference) bool {
			local := func(url string) bool {
				_, host, _ := strings.Cut(url, "://")
				host, _, _ = strings.Cut(host, "/")
				return loopback(host)
			}
			return c.step.alone && strings.HasPrefix(d.name, atYAML) &&
				(loopback(d.subject) || strings.Contains(d.name, "]|endpoints[") && (local(d.old) || local(d.new)))
		},
	},
	{
		name: "convert: http with tls",
		what: "an http endpoint of k3s with tls settings is asked over https first",
		is: func(c situation, d difference) bool {
			return c.converts("k3s", "containerd") && strings.Contains(c.step.stdin, `"http://`) && strings.Contains(c.step.stdin, "tls") &&
				(strings.Contains(d.name, "]|endpoints[") || strings.HasSuffix(d.name, "|allowPlainHTTPCredentials") || strings.HasSuffix(d.name, "|plainHTTP"))
		},
	},
	{
		name: "convert: Docker Hub as an endpoint",
		what: "an endpoint at a name of Docker Hub is https://registry-1.docker.io, once",
		is: func(c situation, d difference) bool {
			return c.converts("k3s", "containerd") && strings.Contains(d.name, "]|endpoints[") && strings.Contains(c.step.stdin, "docker.io")
		},
	},
	{
		name: "convert: tls without effect",
		what: "tls settings that had no effect are not revived",
		is: func(c situation, d difference) bool {
			if !c.converts("k3s", "containerd") || !strings.Contains(c.step.stdin, "tls") {
				return false
			}
			told := c.did[newer].stderr != "" && c.did[older].stderr == "" && !strings.HasPrefix(d.name, atYAML)
			return told || d.vanished() && strings.Contains(d.name, "|registries[") &&
				(strings.Contains(d.name, "|tls|") || strings.HasSuffix(d.name, "|host"))
		},
	},
	{
		name: "convert: auths of k3s",
		what: "auths of k3s had no effect",
		is: func(c situation, d difference) bool {
			return c.converts("k3s") && d.vanished() && d.subject == "a.corp" && strings.Contains(c.step.stdin, "auths:")
		},
	},
}

// converts reports that the input is of one of these kinds.
func (c situation) converts(kinds ...string) bool {
	return c.step.alone && slices.Contains(kinds, c.step.kind)
}
