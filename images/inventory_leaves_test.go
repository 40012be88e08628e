package images_test

import (
	"encoding/json"
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// noise are strings that are no images, by kind. Many have the form of one.
var noise = map[string][]string{
	"version":     {"1.2.3", "v1.30", "8.11.0", "15", "7.2.4-64", "v26.1"},
	"url":         {"https://quay.io/acme/app:v1", "http://acme.example:8080/x", "s3://bucket/path:1", "oci://ghcr.io/acme/charts/app:1.0", "docker://quay.io/acme/x:1", "git@github.com:acme/app.git", "tcp://10.0.0.1:2375"},
	"path":        {"/var/lib/acme", "/etc/acme/config:ro", "./charts/app:1.0", "../up/x:1", "~/x/y:1", "data/disk.img", "/dev/sda", `C:\acme\x:1`},
	"label":       {"topology.kubernetes.io/zone=eu-west-1a", "app.kubernetes.io/name:web", "acme.example/role=db", "pod-template-hash=5d4f8"},
	"hostport":    {"redis.acme.example:6379", "localhost:5000", "10.0.0.1:443", "[::1]:8080", "registry.acme.example:5000", "db:5432/app", "kafka-0.kafka:9092"},
	"host":        {"acme.example", "registry.acme.example", "cluster.local", "cdn.acme.example/logo.png"},
	"email":       {"ops@acme.example", "Ops <ops@acme.example>"},
	"cron":        {"*/5 * * * *", "0 3 * * 1-5", "@daily"},
	"quantity":    {"10Gi", "500m", "1e3", "128974848"},
	"semver":      {">=1.2.3 <2.0.0-0", "^1.4", "~> 2.1", "1.2.x || >=3"},
	"time":        {"2026-11-29T02:24:02Z", "02:24:02", "2026-11-29"},
	"module":      {"github.com/acme/tool v1.2.3", "github.com/acme/tool@v1.2.3", "k8s.io/client-go", "org.acme:tool:1.2.3", "acme.example/mod/v2"},
	"group":       {"apps/v1", "monitoring.coreos.com/v1", "rbac.authorization.k8s.io/v1beta1", "acme.example/v1, Kind=Thing"},
	"taint":       {"node-role.kubernetes.io/control-plane:NoSchedule", "acme.example/gpu=true:NoExecute", "acme.example/gpu:PreferNoSchedule", "dedicated=db:NoSchedule"},
	"cidr":        {"10.0.0.0/8", "192.168.0.0/16:443", "2001:db8::/32", "0.0.0.0/0"},
	"stack":       {"k8s.io/client-go/tools/cache/reflector.go:169", "github.com/acme/x/main.go:12", "acme.example/x/y.py:3: oops"},
	"regex":       {`^quay\.io/.*:v1$`, ".*", "[a-z]+/[0-9]:x"},
	"base64":      {"aGVsbG8gd29ybGQK", "LS0tLS1CRUdJTi0tLQ==", "cXVheS5pby9hY21lL2FwcDp2MQ=="},
	"prose":       {"Runs version 1.2 at 10:30, see https://acme.example/docs:latest.", "a/b or c: 5", "Use `kubectl apply -f x.yaml`; then wait.\nSecond line: 1:2\n", "#!/bin/sh\nset -e\ncurl -fsS http://acme.example:8080/x:1 | tar x\n"},
	"os":          {"Ubuntu 22.04", "flatcar-stable", "ami-0abcdef1234567890", "Bottlerocket OS 1.19.2 (aws-k8s-1.29)"},
	"icon":        {"cdn.acme.example/img/logo.png", "https://acme.example/x.svg", "/static/logo.png", "data:image/png;base64,iVBORw0KGgo="},
	"name":        {"primary", "standard-rwo", "app-1", "info", "web"},
	"policy":      {"Always", "IfNotPresent"},
	"duration":    {"10m", "1h30m", "30d", "PT5M"},
	"annotations": {"{\"name\":\"net1\",\"ips\":[\"10.0.0.1/24\"]}", "true", "https://acme.example/x:1", "acme.example/web:primary=1"},
}

// leaf makes a value of a kind of the schema.
func (g *generator) leaf(kind string) *yaml.Node {
	name, ok := strings.CutPrefix(kind, "no-")
	if !ok {
		return g.imageLeaf(kind)
	}
	say := func(of string) string { return g.pick(noise[of]...) }
	switch name {
	case "int":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(g.r.IntN(70000))}
	case "bool":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: g.pick("true", "false")}
	case "names":
		return listNode(mappingNode("name", text(say("name"))))
	case "urls", "hosts", "taints":
		return listNode(text(say(strings.TrimSuffix(name, "s"))), text(say(strings.TrimSuffix(name, "s"))))
	case "list":
		return listNode(mappingNode("name", text(say("name")), "host", text(say("hostport")), "type", text(say("group"))), mappingNode("name", text(say("label")), "value", text(say("semver"))))
	case "labels":
		return mappingNode("app.kubernetes.io/name", text(say("name")), "app.kubernetes.io/version", text(say("version")), "acme.example/part-of", text(say("name")))
	case "annotations":
		return mappingNode("acme.example/a", text(say("annotations")), "kubectl.kubernetes.io/last-applied-configuration",
			text(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"quay.io/acme/before:1"}]}}`), "acme.example/taint", text(say("taint")))
	case "params":
		return listNode(mappingNode("name", text("url"), "value", text(say("url"))), mappingNode("name", text("endpoint"), "value", text(say("hostport"))),
			mappingNode("name", text("module"), "value", text(say("module"))))
	}
	return text(say(name))
}

// imageLeaf makes an image in one of the forms that operators use.
func (g *generator) imageLeaf(kind string) *yaml.Node {
	switch kind {
	case "ref":
		return g.quoted(g.ref())
	case "ref-host":
		return g.quoted(g.hostRef())
	case "ref-lines":
		return text("1.0=" + g.ref() + "\n2.0=" + g.ref() + "\n")
	case "registry-name":
		return g.inParts(true, "name", "tag")
	case "registry-repository":
		return g.inParts(true, "", "tag")
	case "repository-tag":
		return g.inParts(false, "", "tag")
	case "version-tag":
		return g.inParts(false, "", "versionTag")
	case "image-version":
		return g.inParts(false, "image", "version")
	case "catalog":
		return listNode(mappingNode("major", g.leaf("no-int"), "image", g.quoted(g.ref())), mappingNode("major", g.leaf("no-int"), "image", g.quoted(g.ref())))
	case "extensions":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", mappingNode("reference", g.quoted(g.ref()))))
	case "volumes":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", mappingNode("reference", g.quoted(g.ref()), "pullPolicy", g.leaf("no-policy"))),
			mappingNode("name", g.leaf("no-name"), "hostPath", mappingNode("path", g.leaf("no-path"))))
	case "values":
		return g.values()
	case "containers":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", g.quoted(g.ref()), "imagePullPolicy", g.leaf("no-policy"), "env", g.env()))
	case "operator":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", g.quoted(g.ref()), "args", g.args(), "env", g.env()))
	case "related":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", g.quoted(g.ref())), mappingNode("name", g.leaf("no-name"), "image", g.quoted(g.ref())))
	case "deployments":
		return listNode(mappingNode("name", g.leaf("no-name"), "spec", mappingNode("template", mappingNode("spec", mappingNode("containers", g.leaf("operator"))))))
	case "steps":
		return listNode(mappingNode("name", g.leaf("no-name"), "image", g.quoted(g.ref()), "script", g.leaf("no-prose")))
	case "env":
		return g.env()
	case "odd-chart":
		return g.quoted(g.odd())
	case "odd-prose":
		return text("See the chart " + g.odd() + ", or ask.")
	}
	panic(kind)
}

// odd is the reference of a chart, which has the form of an image.
func (g *generator) odd() string {
	chart := "ghcr.io/acme/charts/" + g.pick("app", "db") + ":" + g.pick("1.0.0", "2.3.4")
	g.made.odd[chart] = true
	return chart
}

func (g *generator) env() *yaml.Node {
	pair := func(name string, value *yaml.Node) *yaml.Node { return mappingNode("name", text(name), "value", value) }
	all := []*yaml.Node{
		pair("RELATED_IMAGE_APP", g.quoted(g.ref())), pair("ACME_DEFAULT_IMAGE", g.quoted(g.ref())),
		pair("ACME_KAFKA_IMAGES", text("4.2.0="+g.ref()+"\n4.3.0="+g.ref()+"\n")), pair("ACME_IMAGES", text(g.ref()+","+g.ref())),
		pair("ACME_IMAGE_MAP", g.jsonMap()), pair("ACME_SIDECAR", g.quoted(g.hostRef())), pair("ACME_BOTH", text(g.hostRef()+" "+g.hostRef())),
		pair("ACME_SEMICOLONS", text("a="+g.hostRef()+";b="+g.hostRef())),
		pair("IMAGE_PULL_POLICY", g.leaf("no-policy")), pair("IMAGE_TAG", g.leaf("no-version")), pair("ACME_ENDPOINT", g.leaf("no-hostport")),
		pair("ACME_URL", g.leaf("no-url")), pair("ACME_LABEL", g.leaf("no-label")), pair("ACME_TAINT", g.leaf("no-taint")), pair("ACME_GROUP", g.leaf("no-group")),
		pair("IMAGE_REGISTRY", g.leaf("no-hostport")), pair("ACME_MODULE", g.leaf("no-module")), pair("ACME_CIDR", g.leaf("no-cidr")),
		mappingNode("name", text("POD"), "valueFrom", mappingNode("fieldRef", mappingNode("fieldPath", text("metadata.name")))),
	}
	g.r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return listNode(all...)
}

// jsonMap is JSON in a string.
func (g *generator) jsonMap() *yaml.Node {
	data, err := json.Marshal(map[string]string{"a": g.ref(), "b": g.ref()})
	if err != nil {
		panic(err)
	}
	return text(string(data))
}

func (g *generator) args() *yaml.Node {
	return listNode(text("manager"), text("--engine-image"), g.quoted(g.ref()), g.quoted("--solver-image="+g.ref()), g.quoted(g.hostRef()),
		g.quoted("--sidecar="+g.hostRef()), text("--listen=:8080"), text("--url="+g.pick(noise["url"]...)), text("--taint="+g.pick(noise["taint"]...)),
		text("--peer"), text(g.pick(noise["hostport"]...)), text("-v=2"), text(g.pick(noise["path"]...)), text("--api="+g.pick(noise["group"]...)))
}

// values are values of a chart, as YAML in a string.
func (g *generator) values() *yaml.Node {
	before := g.flow
	defer func() { g.flow = before }()
	g.flow = false
	inner := mappingNode("image", g.inParts(true, "", "tag"), "sidecar", mappingNode("image", g.inParts(false, "", "tag"), "resources", mappingNode("memory", g.leaf("no-quantity"))),
		"metrics", mappingNode("image", g.quoted(g.ref()), "path", g.leaf("no-path")), "extraEnv", listNode(mappingNode("name", text("A_IMAGE"), "value", g.quoted(g.ref()))),
		"nodeSelector", g.leaf("no-labels"), "endpoint", g.leaf("no-hostport"))
	data, err := yaml.Marshal(inner)
	if err != nil {
		panic(err)
	}
	return text(string(data))
}
