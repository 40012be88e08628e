package config

import (
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// APIVersion and Kind are what the first two lines of a RegistryConfig say.
const (
	APIVersion = "berth/v1alpha1"
	Kind       = "RegistryConfig"
)

// Config is a RegistryConfig: where images are pulled from, and with which
// credentials. The yaml tag of each field is its name in the file, the default
// tag its value when the file does not give one. A Config that [Load] or
// [Parse] returned is valid, has every default filled in and every file that it
// names read.
type Config struct {
	APIVersion       string           `yaml:"apiVersion"`
	Kind             string           `yaml:"kind"`
	Mirrors          []Mirror         `yaml:"mirrors"`
	DefaultRegistry  *DefaultRegistry `yaml:"defaultRegistry"`
	Registries       []Registry       `yaml:"registries"`
	DockerConfigFile string           `yaml:"dockerConfigFile"`
	ECR              ECR              `yaml:"ecr"`
	Health           Health           `yaml:"health"`
	Proxy            Proxy            `yaml:"proxy"`
	Containerd       Containerd       `yaml:"containerd"`

	// DockerConfig holds the logins that DockerConfigFile contains, sorted by
	// Host; nil without one. An entry of Registries for the same host wins.
	DockerConfig []DockerLogin `yaml:"-"`
}

// Mirror says where images of one upstream are pulled from.
type Mirror struct {
	// Upstream is a host[:port] as it stands in image names, in lower case,
	// or "*" for every registry that has no entry of its own.
	Upstream  string     `yaml:"upstream"`
	Endpoints []Endpoint `yaml:"endpoints"`
	// UpstreamFallback says whether the upstream itself is asked when no
	// endpoint has the image. Default true.
	UpstreamFallback bool `yaml:"upstreamFallback" default:"true"`
}

// Endpoint is one mirror, in the order in which they are tried.
type Endpoint struct {
	// URL is as written; hostsconf.ParseURL says what it means.
	URL string `yaml:"url"`
	// Capabilities default to pull and resolve.
	Capabilities []string `yaml:"capabilities" default:"pull,resolve"`
	// DialTimeout defaults to 2s.
	DialTimeout Duration `yaml:"dialTimeout" default:"2s"`
	// Headers are sent with every request to this endpoint.
	Headers map[string][]string `yaml:"headers"`
	// OverridePath takes the path of URL literally.
	OverridePath bool `yaml:"overridePath"`
}

// DefaultRegistry is where images come from that name no registry.
type DefaultRegistry struct {
	URL string `yaml:"url"`
	// For lists the upstreams it stands in for. Default docker.io.
	For              []string `yaml:"for" default:"docker.io"`
	UpstreamFallback bool     `yaml:"upstreamFallback" default:"true"`
}

// Registry says how to reach, and log in to, a host: for direct pulls and for
// every endpoint on it.
type Registry struct {
	// Host is host[:port][/path] in lower case (the path as written).
	Host     string `yaml:"host"`
	Username string `yaml:"username"`
	// Password is the value itself; after loading it also holds what
	// PasswordFile contains.
	Password     redact.Secret `yaml:"password"`
	PasswordFile string        `yaml:"passwordFile"`
	Auth         Auth          `yaml:"auth" default:"auto"`
	TLS          TLS           `yaml:"tls"`
	// PlainHTTP defaults to true for localhost, 127.0.0.0/8 and [::1], unless
	// TLS says something, and to false for every other host.
	PlainHTTP bool `yaml:"plainHTTP"`
	// PlainHTTPGiven says that PlainHTTP is not the default, for a host on this
	// machine, which containerd reaches by a rule of its own otherwise.
	PlainHTTPGiven bool `yaml:"-"`
	// AllowPlainHTTPCredentials lets a login go over plain http to another
	// machine.
	AllowPlainHTTPCredentials bool `yaml:"allowPlainHTTPCredentials"`
	// ECR is the chain of credentials of this ECR registry alone; nil for the
	// one of the section ecr.
	ECR *RegistryECR `yaml:"ecr"`
}

// RegistryECR says which AWS identity is used for one ECR registry.
type RegistryECR struct {
	// Credentials are tried in this order, as those of the section ecr.
	Credentials []ECRCredential `yaml:"credentials"`
}

// Auth says what a registry accepts.
type Auth string

// The values of Auth.
const (
	AuthAuto  Auth = "auto"  // basic until the prober has seen otherwise
	AuthBasic Auth = "basic" // Basic on every request: the header channel
	AuthToken Auth = "token" // Bearer tokens only: the provider channel
)

// TLS says how a host is verified and how we prove who we are.
type TLS struct {
	CAFile             string `yaml:"caFile"`
	CertFile           string `yaml:"certFile"`
	KeyFile            string `yaml:"keyFile"`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify"`

	// CA, Cert and Key are the contents of the files (PEM), empty when unset.
	// CA and Cert hold certificates only, whatever else their files hold.
	CA   []byte        `yaml:"-"`
	Cert []byte        `yaml:"-"`
	Key  redact.Secret `yaml:"-"`
}

// DockerLogin is one entry of a .dockerconfigjson.
type DockerLogin struct {
	Host     string // host[:port][/path]; Docker Hub's forms become docker.io
	Username string
	Password redact.Secret
}

// ECR says which AWS identity is used for ECR, and which other host names
// belong to an ECR registry.
type ECR struct {
	// Credentials are tried in this order, the next one only when the one
	// before cannot serve. Default: the instance profile, then static keys
	// from the environment or the shared credentials file.
	Credentials []ECRCredential `yaml:"credentials"`
	Registries  []ECRRegistry   `yaml:"registries"`
}

// ECRCredential is one source; exactly one field is set.
type ECRCredential struct {
	InstanceProfile *InstanceProfile `yaml:"instanceProfile"`
	Static          *StaticKeys      `yaml:"static"`
}

// InstanceProfile is the role of the EC2 instance, by IMDSv2.
type InstanceProfile struct{}

// defaultCredentials is the chain when the file gives none.
func defaultCredentials() []ECRCredential {
	return []ECRCredential{{InstanceProfile: &InstanceProfile{}}, {Static: &StaticKeys{}}}
}

// StaticKeys are keys that are given: inline, in files, in a shared
// credentials file, or, when nothing is set, in the process environment and
// then ~/.aws/credentials. After loading, AccessKeyID, SecretAccessKey and
// SessionToken also hold what their files contain.
type StaticKeys struct {
	AccessKeyID           redact.Secret `yaml:"accessKeyID"`
	AccessKeyIDFile       string        `yaml:"accessKeyIDFile"`
	SecretAccessKey       redact.Secret `yaml:"secretAccessKey"`
	SecretAccessKeyFile   string        `yaml:"secretAccessKeyFile"`
	SessionToken          redact.Secret `yaml:"sessionToken"`
	SessionTokenFile      string        `yaml:"sessionTokenFile"`
	SharedCredentialsFile string        `yaml:"sharedCredentialsFile"`
	Profile               string        `yaml:"profile"`
	RoleARN               string        `yaml:"roleARN"`
}

// ECRRegistry names a host that is an ECR registry under another name.
type ECRRegistry struct {
	Host    string `yaml:"host"`
	Account string `yaml:"account"`
	Region  string `yaml:"region"`
}

// HealthMode says what happens with an endpoint that does not answer.
type HealthMode string

// The values of HealthMode.
const (
	HealthWithdraw HealthMode = "withdraw"
	HealthReport   HealthMode = "report"
	HealthOff      HealthMode = "off"
)

// Health configures the prober of the agent.
type Health struct {
	Mode      HealthMode `yaml:"mode" default:"withdraw"`
	Interval  Duration   `yaml:"interval" default:"15s"`
	Timeout   Duration   `yaml:"timeout" default:"2s"`
	Failures  int        `yaml:"failures" default:"2"`
	Successes int        `yaml:"successes" default:"2"`
}

// Proxy holds the proxy that containerd uses, when it is not the one of the
// agent's own environment.
type Proxy struct {
	// A proxy URL may carry a login, so it is not shown.
	HTTPProxy  redact.Secret `yaml:"httpProxy"`
	HTTPSProxy redact.Secret `yaml:"httpsProxy"`
	NoProxy    string        `yaml:"noProxy"`
}

// Conflict says what to do with a file in our place that is not ours.
type Conflict string

// The values of Conflict.
const (
	ConflictReport Conflict = "report"
	ConflictAdopt  Conflict = "adopt"
)

// Containerd says where containerd reads its hosts.toml files.
type Containerd struct {
	CertsDir   string   `yaml:"certsDir" default:"/etc/containerd/certs.d"`
	OnConflict Conflict `yaml:"onConflict" default:"report"`
}

// Duration is a time span, written as Go writes it: 2s, 1m30s.
type Duration time.Duration

// String gives the form that the file uses.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText gives the same, for YAML and JSON.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
