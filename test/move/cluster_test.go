package move

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// standIns are the programs of the page that are replaced by stand-ins.
var standIns = map[string]func(args []string, stdout, stderr io.Writer) int{"kubectl": kubectl, "rke": rke}

// clusterFile is the environment variable with the path of the file that holds the cluster's
// objects.
const clusterFile = "CLUSTER"

// kubectl keeps objects in a file, and makes pods of them as the cluster and Redis' operator do:
// with the images and the pull secrets that they name. An unknown command is an error, so the page
// can use no other.
func kubectl(args []string, stdout, stderr io.Writer) int {
	c, err := openCluster(os.Getenv(clusterFile))
	if err == nil {
		err = c.do(args, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "stand-in of kubectl:", err)
		return 1
	}
	return 0
}

// object is an object of any kind, as written.
type object = map[string]any

type cluster struct {
	file    string
	Objects map[string]object // by kind and name
	Secrets []string
}

func openCluster(file string) (*cluster, error) {
	c := &cluster{file: file, Objects: map[string]object{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	return c, json.Unmarshal(data, c)
}

func (c *cluster) save() error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(c.file, data, 0o600)
}

func (c *cluster) do(args []string, stdout io.Writer) error {
	switch line := strings.Join(args, " "); {
	case len(args) == 3 && strings.HasPrefix(line, "apply -f "):
		return c.apply(args[2], stdout)
	case line == "get pods -A -o json":
		return json.NewEncoder(stdout).Encode(object{"apiVersion": "v1", "kind": "List", "items": c.pods()})
	case len(args) == 9 && strings.HasPrefix(line, "-n redis create secret docker-registry ") &&
		args[6] == "--docker-server="+corp && args[7] == "--docker-username="+puller.name && args[8] == "--docker-password="+puller.password:
		c.Secrets = append(c.Secrets, args[5])
		fmt.Fprintf(stdout, "secret/%s created\n", args[5])
		return c.save()
	default:
		return fmt.Errorf("%q is nothing that it knows", line)
	}
}

func (c *cluster) apply(file string, stdout io.Writer) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for d := yaml.NewDecoder(f); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return c.save()
		} else if err != nil {
			return err
		}
		name := strings.ToLower(text(o, "kind")) + "/" + text(o, "metadata", "name")
		done := "created"
		if _, ok := c.Objects[name]; ok {
			done = "configured"
		}
		c.Objects[name] = o
		fmt.Fprintln(stdout, name, done)
	}
}

// pods returns the pods that the cluster makes of Deployments, and the operator of the database's
// resource.
func (c *cluster) pods() []object {
	pods := []object{}
	add := func(name string, spec object) {
		pods = append(pods, object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name, "namespace": "redis"}, "spec": spec})
	}
	for name, o := range c.Objects {
		kind, name, _ := strings.Cut(name, "/")
		switch kind {
		case "deployment":
			add(name+"-5b8f", at(o, "spec", "template", "spec"))
		case "redisenterprisecluster":
			image := func(field string) object {
				return object{"name": "of-the-operator", "image": text(o, "spec", field, "repository") + ":" + text(o, "spec", field, "versionTag")}
			}
			secrets := at(o, "spec")["pullSecrets"]
			add(name+"-0", object{
				"imagePullSecrets": secrets,
				"initContainers":   []object{image("bootstrapperImageSpec")}, "containers": []object{image("redisEnterpriseImageSpec")},
			})
			add(name+"-services-rigger-77c", object{"imagePullSecrets": secrets, "containers": []object{image("redisEnterpriseServicesRiggerImageSpec")}})
		}
	}
	slices.SortFunc(pods, func(a, b object) int {
		return strings.Compare(text(a, "metadata", "name"), text(b, "metadata", "name"))
	})
	return pods
}

// withoutSecret returns the pods that lack a pull secret.
func (c *cluster) withoutSecret(secret string) []string {
	var lacking []string
	for _, p := range c.pods() {
		if raw, err := json.Marshal(at(p, "spec")["imagePullSecrets"]); err != nil || string(raw) != `[{"name":"`+secret+`"}]` {
			lacking = append(lacking, text(p, "metadata", "name"))
		}
	}
	return lacking
}

// at returns a field of an object; a missing field is empty.
func at(o object, path ...string) object {
	for _, name := range path {
		o, _ = o[name].(object)
	}
	return o
}

func text(o object, path ...string) string {
	last := len(path) - 1
	s, _ := at(o, path[:last]...)[path[last]].(string)
	return s
}

// systemImages is rke's standard output, which includes a line of its log.
const systemImages = `time="2021-03-30T09:12:44Z" level=info msg="Generating images list for version [v1.19.3-rancher1-1]:"
rancher/mirrored-coreos-etcd:v3.4.13-rancher1
rancher/rke-tools:v0.1.66
rancher/mirrored-k8s-dns-kube-dns:1.15.10
rancher/hyperkube:v1.19.3-rancher1
rancher/mirrored-coredns-coredns:1.7.0
rancher/mirrored-pause:3.2
rancher/mirrored-metrics-server:v0.3.6
rancher/mirrored-calico-node:v3.16.1
quay.io/coreos/flannel:v0.13.0
weaveworks/weave-kube:2.7.0
noiro/cnideploy:5.1.1.0.1ae238a
`

func rke(args []string, stdout, stderr io.Writer) int {
	if line := strings.Join(args, " "); line != "config --system-images" {
		fmt.Fprintf(stderr, "stand-in of rke: %q is nothing that it knows\n", line)
		return 1
	}
	fmt.Fprint(stdout, systemImages)
	return 0
}
