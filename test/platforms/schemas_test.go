package platforms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// module is a Go module that carries CustomResourceDefinitions. Only its files are read: as a
// requirement it would bring all of its own.
type module struct {
	path, version, sum string
	crds               []string
}

// modules have the schemas of kinds that are not of Kubernetes itself. The releases are the newest
// that the Go release of go.mod can read.
var modules = []module{
	{"github.com/aws/karpenter-provider-aws", "v1.14.1", "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs=", []string{
		"pkg/apis/crds/karpenter.sh_nodepools.yaml", "pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml",
	}},
	{"github.com/external-secrets/external-secrets", "v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=", []string{
		"config/crds/bases/external-secrets.io_externalsecrets.yaml",
		"config/crds/bases/external-secrets.io_secretstores.yaml",
		"config/crds/bases/external-secrets.io_clustersecretstores.yaml",
	}},
	{"sigs.k8s.io/cluster-api", "v1.14.2", "h1:o3GFNaeNFAOEEMpDPfhCK+2CjmV6gtQ8yLEcUwCg7bA=", []string{
		"bootstrap/kubeadm/config/crd/bases/bootstrap.cluster.x-k8s.io_kubeadmconfigs.yaml",
		"bootstrap/kubeadm/config/crd/bases/bootstrap.cluster.x-k8s.io_kubeadmconfigtemplates.yaml",
		"controlplane/kubeadm/config/crd/bases/controlplane.cluster.x-k8s.io_kubeadmcontrolplanes.yaml",
		"controlplane/kubeadm/config/crd/bases/controlplane.cluster.x-k8s.io_kubeadmcontrolplanetemplates.yaml",
	}},
	{"github.com/argoproj/argo-cd/v3", "v3.5.7", "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=", []string{
		"manifests/crds/application-crd.yaml",
	}},
	{"github.com/fluxcd/source-controller", "v1.9.6", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=", []string{
		"config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
		"config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
	}},
}

// withoutSchema are kinds whose schema no module has that can be read here. Their documents are
// YAML without a duplicate key, and the texts in them are checked.
var withoutSchema = []string{
	"v1alpha1/CRICustomizationConfig", // Talos
}

// schemaOf returns the schema of "GROUP/VERSION/KIND", and whether there is one.
func schemaOf(name string) (*jsonschema.Schema, bool, error) {
	all, err := schemas()
	return all[name], all[name] != nil, err
}

// schemas reads the schemas of all modules.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	all := map[string]*jsonschema.Schema{}
	for _, m := range modules {
		dir, err := m.download()
		if err != nil {
			return nil, err
		}
		for _, file := range m.crds {
			if err := readCRD(filepath.Join(dir, file), all); err != nil {
				return nil, fmt.Errorf("%s@%s: %s: %w", m.path, m.version, file, err)
			}
		}
	}
	return all, nil
})

// download returns the directory of the module in the module cache.
func (m module) download() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", m.path+"@"+m.version).Output()
	var got struct{ Dir, Sum, Error string }
	if e := json.Unmarshal(out, &got); e != nil || got.Error != "" {
		return "", fmt.Errorf("go mod download %s@%s: %w: %s", m.path, m.version, errors.Join(err, e), got.Error)
	}
	if got.Sum != m.sum {
		return "", fmt.Errorf("%s@%s has the sum %s, want %s", m.path, m.version, got.Sum, m.sum)
	}
	return got.Dir, nil
}

// readCRD adds the schema of each version of a CustomResourceDefinition.
func readCRD(file string, all map[string]*jsonschema.Schema) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return err
	}
	for _, v := range crd.Spec.Versions {
		root := v.Schema.OpenAPIV3Schema
		forbidUnknown(root)
		// The API server has metadata in every object.
		root["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
		text, err := json.Marshal(root)
		if err != nil {
			return err
		}
		name := crd.Spec.Group + "/" + v.Name + "/" + crd.Spec.Names.Kind
		if all[name], err = compile(name, text); err != nil {
			return err
		}
		if name == "bootstrap.cluster.x-k8s.io/v1beta2/KubeadmConfig" {
			if err := addKubeadm(root, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// addKubeadm adds kinds of kubeadm by the schema of the fields that Cluster API passes on to it.
func addKubeadm(kubeadmConfig map[string]any, all map[string]*jsonschema.Schema) error {
	for field, kind := range map[string]string{
		"clusterConfiguration": "ClusterConfiguration", "initConfiguration": "InitConfiguration", "joinConfiguration": "JoinConfiguration",
	} {
		found, ok := dig(kubeadmConfig, "properties", "spec", "properties", field)
		if !ok {
			return fmt.Errorf("KubeadmConfig has no field spec.%s", field)
		}
		object := found.(map[string]any)
		fields := object["properties"].(map[string]any)
		fields["apiVersion"], fields["kind"] = map[string]any{"type": "string"}, map[string]any{"const": kind}
		text, err := json.Marshal(object)
		if err != nil {
			return err
		}
		name := "kubeadm.k8s.io/v1beta4/" + kind
		if all[name], err = compile(name, text); err != nil {
			return err
		}
	}
	return nil
}

// forbidUnknown makes an unknown field an error, as "kubectl apply --validate=strict" has it.
func forbidUnknown(node any) {
	switch node := node.(type) {
	case []any:
		for _, e := range node {
			forbidUnknown(e)
		}
	case map[string]any:
		for _, e := range node {
			forbidUnknown(e)
		}
		_, fields := node["properties"].(map[string]any)
		if fields && node["type"] == "object" && node["additionalProperties"] == nil && node["x-kubernetes-preserve-unknown-fields"] == nil {
			node["additionalProperties"] = false
		}
	}
}

func compile(name string, text []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document); err != nil {
		return nil, err
	}
	return compiler.Compile(name)
}

// chartSchema is that of the values of Berth's chart.
var chartSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	text, err := os.ReadFile(filepath.Join(top, "manifests/chart/values.schema.json"))
	if err != nil {
		return nil, err
	}
	return compile("values.schema.json", text)
})

// cloudConfigKeys are the modules of cloud-init that the pages use.
var cloudConfigKeys = []string{"bootcmd", "ca_certs", "packages", "package_update", "runcmd", "write_files", "users", "mounts"}

// cloudConfig checks the keys of a #cloud-config; cloud-init ignores unknown ones.
func cloudConfig(object map[string]any) error {
	for key := range object {
		if !slices.Contains(cloudConfigKeys, key) {
			return fmt.Errorf("#cloud-config: no page has used the key %q; is it one of cloud-init?", key)
		}
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	var known struct {
		WriteFiles []struct {
			Path, Content, Owner, Permissions, Encoding string
			Append, Defer                               bool
		} `yaml:"write_files"`
		RunCmd []any          `yaml:"runcmd"`
		Rest   map[string]any `yaml:",inline"`
	}
	if err := strictly(text, &known); err != nil {
		return err
	}
	for _, f := range known.WriteFiles {
		if !strings.HasPrefix(f.Path, "/") {
			return fmt.Errorf("write_files: path %q is not absolute", f.Path)
		}
		if f.Permissions != "" && (len(f.Permissions) != 4 || strings.Trim(f.Permissions, "01234567") != "") {
			return fmt.Errorf("write_files: %s: permissions %q: write four digits in quotes", f.Path, f.Permissions)
		}
	}
	for _, c := range known.RunCmd {
		if line, ok := c.(string); ok {
			if err := grammar(line); err != nil {
				return fmt.Errorf("runcmd: %w", err)
			}
		}
	}
	return nil
}

// nodeConfig checks a NodeConfig of EKS: its fields by those of nodeadm for EC2 and for hybrid nodes
// (awslabs/amazon-eks-ami 81fec2e, aws/eks-hybrid e5f42ca), as far as the pages use them.
func nodeConfig(text []byte) error {
	var v struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Spec       struct {
			Cluster struct {
				Name                 string `yaml:"name"`
				Region               string `yaml:"region"`
				APIServerEndpoint    string `yaml:"apiServerEndpoint"`
				CertificateAuthority string `yaml:"certificateAuthority"`
				CIDR                 string `yaml:"cidr"`
			} `yaml:"cluster"`
			Containerd struct {
				Config string `yaml:"config"`
			} `yaml:"containerd"`
			Kubelet struct {
				Config map[string]any `yaml:"config"`
				Flags  []string       `yaml:"flags"`
			} `yaml:"kubelet"`
			Hybrid struct {
				EnableCredentialsFile bool `yaml:"enableCredentialsFile"`
			} `yaml:"hybrid"`
		} `yaml:"spec"`
	}
	return strictly(text, &v)
}

// bottlerocket checks user data of Bottlerocket: the settings that the pages use, by the names of
// its settings models.
func bottlerocket(text string) error {
	var v struct {
		Settings struct {
			ContainerRegistry struct {
				Mirrors []struct {
					Registry     string   `toml:"registry"`
					Endpoint     []string `toml:"endpoint"`
					Capabilities []string `toml:"capabilities"`
				} `toml:"mirrors"`
				Credentials []struct {
					Registry string `toml:"registry"`
					Username string `toml:"username"`
					Password string `toml:"password"`
					Auth     string `toml:"auth"`
				} `toml:"credentials"`
			} `toml:"container-registry"`
			Kubernetes struct {
				CredentialProviders map[string]struct {
					Enabled       bool     `toml:"enabled"`
					ImagePatterns []string `toml:"image-patterns"`
					CacheDuration string   `toml:"cache-duration"`
				} `toml:"credential-providers"`
				NodeLabels map[string]string   `toml:"node-labels"`
				NodeTaints map[string][]string `toml:"node-taints"`
			} `toml:"kubernetes"`
			PKI map[string]struct {
				Trusted bool   `toml:"trusted"`
				Data    string `toml:"data"`
			} `toml:"pki"`
		} `toml:"settings"`
	}
	return toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(&v)
}
