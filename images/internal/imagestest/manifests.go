package imagestest

const podHead = "apiVersion: v1\nkind: Pod\nspec:\n"

// Manifests are documents with the images that they name.
var Manifests = []struct{ Name, Text, Want string }{
	{"helm template's output", "---\n# Source: a/templates/empty.yaml\n---\n\n---\n# Source: a/templates/pod.yaml\n" + podHead + "  containers:\n  - image: a:1\n---\n# nothing\n",
		"a:1 container 11 spec.containers[0].image"},
	{"a document end and directives", "%YAML 1.1\n---\nimage: a:1\n...\n# c\n%YAML 1.1\n---\nimage: b:1\n...\n", "a:1 field 3 image\nb:1 field 8 image"},
	{"--- inside a block of text", "image: a:1\ntext: |\n  ---\n  image: c:1\n---\nimage: b:1\n", "a:1 field 1 image\nb:1 field 6 image\nc:1 field 4 text.image"},
	{"Windows' line ends and a byte order mark", "\ufeffimage: a:1\r\n---\r\nother:\r\n  image: b:1\r\n", "a:1 field 1 image\nb:1 field 4 other.image"},
	{"init and ephemeral containers", podHead + "  initContainers: [{name: i, image: a:1}]\n  ephemeralContainers: [{name: e, image: b:1}]\n",
		"a:1 container 4 spec.initContainers[0].image\nb:1 container 5 spec.ephemeralContainers[0].image"},
	{"a cron job", "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a:1}]}}}}}\n",
		"a:1 container 3 spec.jobTemplate.spec.template.spec.containers[0].image"},
	{"a pod template in a custom resource", "apiVersion: acme.io/v1\nkind: Fleet\nspec:\n  groups:\n  - podTemplate: {spec: {containers: [{image: a:1}]}}\n  sidecar: {image: b:1}\n",
		"a:1 container 5 spec.groups[0].podTemplate.spec.containers[0].image\nb:1 field 6 spec.sidecar.image"},
	{"objects in objects", "apiVersion: template.openshift.io/v1\nkind: Template\nobjects:\n- apiVersion: v1\n  kind: ConfigMap\n  data: {image: never}\n  metadata: {}\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: [{image: a:1}]}\n",
		"a:1 container 10 spec.containers[0].image"},
	{"a typed list", "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: p}\n  spec: {containers: [{image: a:1}]}\n  status: {image: never}\n", "a:1 container 5 spec.containers[0].image"},
	{"a list of config maps", "apiVersion: v1\nkind: ConfigMapList\nitems:\n- data: {image: never}\n", ""},
	{"lists in lists", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Secret\n    stringData: {image: never}\n  - apiVersion: v1\n    kind: Pod\n    spec: {containers: [{image: a:1}]}\n",
		"a:1 container 12 spec.containers[0].image"},
	{"the kind of a secret from elsewhere", "apiVersion: acme.io/v1\nkind: Secret\nspec: {image: a:1}\n", "a:1 field 3 spec.image"},
	{"a schema beside a resource", "properties: {image: {type: string}, x: {image: never}}\ntype: object\n", ""},
	{"patterns of a policy", "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {rules: [{validate: {pattern: {spec: {containers: [{image: '!*:latest'}]}}}}]}\n", ""},
	{"a block device called image", podHead + "  volumes: [{rbd: {image: never}}]\n", ""},
	{"an icon called image", "apiVersion: acme.io/v1\nkind: Tile\nspec: {image: 'https://acme.io/x.png', bootImage: /dev/sda}\n", ""},
	{"keys that end in Image", "apiVersion: acme.io/v1\nkind: X\nspec: {workerImage: acme/a:1, osImage: Ubuntu 22.04, imageName: ghcr.io/acme/pg:16, baseImage: never}\n",
		"acme/a:1 field 3 spec.workerImage\nghcr.io/acme/pg:16 field 3 spec.imageName"},
	{"values of a chart", "image: {registry: quay.io, repository: acme/a, tag: 1.10}\nsidecar:\n  image:\n    repository: acme/b\n    tag: \"2\"\n    digest: sha256:" + Hex64 + "\n",
		"acme/b:2@sha256:" + Hex64 + " field 4 sidecar.image\nquay.io/acme/a:1.10 field 1 image"},
	{"a tag that is a digest", "image: {repository: acme/a, tag: 'sha256:" + Hex64 + "'}\n", "acme/a@sha256:" + Hex64 + " field 1 image"},
	{"a name and a tag beside it", "proxy: {image: acme/a, imageTag: v3}\n", "acme/a:v3 field 1 proxy.image"},
	{"repository, image and version", "driver: {repository: nvcr.io/nvidia, image: driver, version: '550'}\n", "nvcr.io/nvidia/driver:550 field 1 driver"},
	{"a chart's dependencies", "dependencies:\n- name: redis\n  version: 1.0.0\n  repository: https://charts.acme.io\n- {name: x, repository: 'oci://acme.io/charts', tag: '1'}\n", ""},
	{"a repository of sources", "source: {repository: acme/sources, branch: main}\n", ""},
	{"a repository without a tag", "image:\n  repository: acme/a\n  tag: \"\"\n",
		`-:2:15: image: image "acme/a": has no tag here; an operator or a chart chooses it (helm template shows that of a chart)`},
	{"a kustomization", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n- {name: nginx, newName: acme/nginx, newTag: 1.10}\n- name: redis\n  digest: sha256:" + Hex64 + "\n- {name: postgres, newTag: '16', digest: sha256:" + Hex64 + "}\n- {name: untouched}\nhelmCharts: [{name: x, repo: 'https://x'}]\n",
		"acme/nginx:1.10 field 4 images[0].newName\npostgres:16@sha256:" + Hex64 + " field 7 images[2].name\nredis@sha256:" + Hex64 + " field 5 images[1].name"},
	{"a kustomization of Flux", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {images: [{name: a, newTag: v2}]}\n", "a:v2 field 3 spec.images[0].name"},
	{"a kustomization that leaves the tag to others", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n- {name: nginx, newName: quay.io/acme/nginx}\n- {name: redis, tagSuffix: -debug}\n",
		"-:4:26: Kustomization: images[0].newName: image \"quay.io/acme/nginx\": its tag is in other manifests; use the output of kubectl kustomize\n" +
			"-:5:10: Kustomization: images[1].name: image \"redis\": its tag is in other manifests; use the output of kubectl kustomize"},
	{"a list of images of something else", "apiVersion: acme.io/v1\nkind: Report\nspec: {images: [{name: never, newTag: v2}]}\n", ""},
	{"RKE's cluster.yml", "nodes: []\nsystem_images:\n  etcd: rancher/mirrored-coreos-etcd:v3.4.13-rancher1\n  alpine: rancher/rke-tools:v0.1.66\n  windows_pod_infra_container: \"\"\n  ingress: null\nprivate_registries: [{url: reg.corp, is_default: true}]\n",
		"rancher/mirrored-coreos-etcd:v3.4.13-rancher1 field 3 system_images.etcd\nrancher/rke-tools:v0.1.66 field 4 system_images.alpine"},
	{"related images", "spec:\n  containers:\n  - image: a:1\n    env:\n    - {name: RELATED_IMAGE_DB, value: db}\n    - {name: DB_IMAGE, value: 'acme/db:2'}\n    - {name: IMAGE_TAG, value: '3'}\n    - {name: IMAGE_PULL_POLICY, value: Always}\n    - {name: IMAGE_URL, value: 'http://x/y:z'}\n    - {name: SECRET, value: 'acme/db:3'}\n    - {name: IMAGE_REF, valueFrom: {}}\n",
		"acme/db:2 environment 6 spec.containers[0].env[1].value\na:1 container 3 spec.containers[0].image\ndb:latest environment 5 spec.containers[0].env[0].value"},
	{"arguments", podHead + "  containers:\n  - image: a:1\n    args: ['--reloader=quay.io/acme/reloader:v1', '--url=http://quay.io/a:1', '--peer=acme.io:80', --solver-image=acme/solver:2, '-v=2', 'x=quay.io/a/b:1']\n",
		"acme/solver:2 argument 6 spec.containers[0].args[3]\na:1 container 5 spec.containers[0].image\nquay.io/a/b:1 argument 6 spec.containers[0].args[5]\nquay.io/acme/reloader:v1 argument 6 spec.containers[0].args[0]"},
	{"anchors and merges", "x-image: &img a:1\nbase: &base {name: b, image: b:1}\nspec:\n  containers:\n  - {image: *img}\n  - {<<: *base, name: c}\n  - *base\n",
		"a:1 field 1 x-image\na:1 container 5 spec.containers[0].image\nb:1 field 2 base.image\nb:1 container 2 spec.containers[1].image\nb:1 container 2 spec.containers[2].image"},
	{"an anchor in itself", "a: &a\n  b: *a\n  image: a:1\n", "a:1 field 3 a.image"},
	{"block scalars and quotes", "a: {image: \"a:1\"}\nb: {image: 'b:1'}\nc:\n  image: >-\n    c:1\nd: {image: \"\\x64:1\"}\n", "a:1 field 1 a.image\nb:1 field 2 b.image\nc:1 field 4 c.image\nd:1 field 6 d.image"},
	{"JSON, one after the other", `{"image":"a:1"}` + "\n" + `{"image":"b:1"}`, "a:1 field 1 image\nb:1 field 2 image"},
	{"YAML that looks like JSON", "{image: a:1, 'x': [1, 2]}\n", "a:1 field 1 image"},
	{"characters of several bytes", "é: {ключ: ü, image: a:1}\n'日本': \"\u2028\"\nx: {image: b:1}\n", "a:1 field 1 é.image\nb:1 field 3 x.image"},
	{"numbers and nulls", "image: 5\na: {image: null}\nb: {image: [x]}\nc: {repository: 5, tag: 5}\nspec: {containers: [null, 5, {image: }, {image: ~}]}\n", ""},
	// Inputs that cannot be read.
	{"an unrendered template", "kind: x\n{{- if .Values.x }}\nimage: a:1\n{{- end }}\n---\nimage: b:1\n",
		"b:1 field 6 image\n-:2:1: is a template of a chart, not a manifest; render it with helm template"},
	{"placeholders", podHead + "  containers:\n  - image: \"{{ .Values.image }}\"\n  - image: {{ .Values.image }}\n  - image: $(params.image)\n  - image: ${IMAGE}\n  - image: auto\n",
		"-:5:12: Pod: spec.containers[0].image: image \"{{ .Values.image }}\": holds a placeholder that something else fills in; fill it in first (a chart: helm template)\n" +
			"-:6:12: Pod: spec.containers[1].image: image \"{{ .Values.image }}\": holds a placeholder that something else fills in; fill it in first (a chart: helm template)\n" +
			"-:7:12: Pod: spec.containers[2].image: image \"$(params.image)\": holds a placeholder that something else fills in; fill it in first (a chart: helm template)\n" +
			"-:8:12: Pod: spec.containers[3].image: image \"${IMAGE}\": holds a placeholder that something else fills in; fill it in first (a chart: helm template)\n" +
			"-:9:12: Pod: spec.containers[4].image: image \"auto\": is a placeholder that Istio replaces when the pod starts"},
	{"wrong images", podHead + "  containers:\n  - image: acme/A\n  - image: a b\n  - image: a@sha256:12\n  - image: \"\"\n",
		"-:5:12: Pod: spec.containers[0].image: image \"acme/A\": the repository must be in lower case\n" +
			"-:6:12: Pod: spec.containers[1].image: image \"a b\": an image name has no spaces\n" +
			"-:7:12: Pod: spec.containers[2].image: image \"a@sha256:12\": the digest is malformed; sha256: and 64 hexadecimal digits are needed\n" +
			"-:8:12: Pod: spec.containers[3].image: image \"\": is empty"},
	{"broken YAML", "a: [1,\nb: 2\n---\nimage: a:1\n", "a:1 field 4 image\n-:2:1: is no valid YAML near here: did not find expected ',' or ']'"},
	{"broken JSON", "{\n  \"a\": 1,\n  \"b\" 2\n}\n", "-:3:7: is no valid JSON: invalid character '2' after object key"},
	{"JSON cut off", "{\"a\": [1, 2", "-:1:12: is no valid JSON: unexpected EOF"},
	{"a secret that looks like an alias", "password: *hunter2\n", "-:1:1: is no valid YAML near here: an alias \"*name\" has no anchor \"&name\"; put a value that begins with * in quotes"},
	{"two documents without a marker", "[a]\nb: c\n", "-:1:1: is no valid YAML near here: did not find expected <document start>"},
}
