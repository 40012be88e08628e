package config

import (
	"time"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

// APIVersion and Kind are the required values of these two fields of a RegistryConfig.
const (
	APIVersion = syntax.APIVersion
	Kind       = syntax.Kind
)

// Config is a RegistryConfig: where images are pulled from, and with which credentials. The yaml
// tag of a field is its name in the file, the default tag its value if the file does not set it. A
// Config returned by [Load] or [Parse] is valid, has every default filled in and every named file
// read.
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
	Docker           Docker           `yaml:"docker"`
	Kubelet          Kubelet          `yaml:"kubelet"`

	// DockerConfig holds the logins in DockerConfigFile, sorted by Host; nil without that file.
	// An entry of Registries for the same host has precedence.
	DockerConfig []DockerLogin `yaml:"-"`
}

// Mirror says where images of one upstream are pulled from.
type Mirror struct {
	// Upstream is a host[:port] as in image names, in lower case, or "*" for every registry
	// without an entry of its own.
	Upstream  string     `yaml:"upstream"`
	Endpoints []Endpoint `yaml:"endpoints"`
	// UpstreamFallback says whether the upstream itself is asked if no endpoint has the image.
	// Default true.
	UpstreamFallback bool `yaml:"upstreamFallback" default:"true"`
}

// Endpoint is one address of a mirror. Endpoints are tried in order.
type Endpoint struct {
	// URL is as written; parse it with hostsconf.ParseURL.
	URL string `yaml:"url"`
	// Capabilities default to pull and resolve.
	Capabilities []string `yaml:"capabilities" default:"pull,resolve"`
	// DialTimeout defaults to 2s.
	DialTimeout Duration `yaml:"dialTimeout" default:"2s"`
	// Headers are sent with every request to this endpoint.
	Headers map[string][]string `yaml:"headers"`
	// OverridePath uses the path of URL literally, without /v2.
	OverridePath bool `yaml:"overridePath"`
}

// DefaultRegistry serves images whose name has no registry.
type DefaultRegistry struct {
	URL string `yaml:"url"`
	// For lists the upstreams that it replaces. Default docker.io.
	For              []string `yaml:"for" default:"docker.io"`
	UpstreamFallback bool     `yaml:"upstreamFallback" default:"true"`
}

// Registry says how to connect and log in to a host, for direct pulls and for every endpoint on it.
type Registry struct {
	// Host is host[:port][/path] in lower case (the path as written).
	Host     string `yaml:"host"`
	Username string `yaml:"username"`
	// Password is the inline value or, after loading, the content of PasswordFile.
	Password     redact.Secret `yaml:"password"`
	PasswordFile string        `yaml:"passwordFile"`
	// CredentialHelper gives the login instead: the NAME of a program docker-credential-NAME on
	// PATH, or an absolute path. It is asked again every Refresh, or before the expiry that the
	// login itself tells.
	CredentialHelper string   `yaml:"credentialHelper"`
	Refresh          Duration `yaml:"refresh" default:"30m"`
	// MaxStale is how long after the last success a login is still used while the helper fails.
	MaxStale Duration `yaml:"maxStale" default:"12h"`
	Auth     Auth     `yaml:"auth" default:"auto"`
	// TokenRealms are further hosts[:port] of token servers that may get the login of this
	// registry; its own host, its domain and the known pairs may in any case.
	TokenRealms []string `yaml:"tokenRealms"`
	TLS         TLS      `yaml:"tls"`
	// PlainHTTP defaults to true for localhost, 127.0.0.0/8 and [::1] without TLS settings, and
	// to false for every other host.
	PlainHTTP bool `yaml:"plainHTTP"`
	// PlainHTTPGiven says that the file sets PlainHTTP for a host on loopback. Without it,
	// containerd applies its own rule to such hosts.
	PlainHTTPGiven bool `yaml:"-"`
	// AllowPlainHTTPCredentials permits sending a login over plain http to another machine.
	AllowPlainHTTPCredentials bool `yaml:"allowPlainHTTPCredentials"`
	// ECR is the credential chain of this ECR registry alone; nil means that of the section ecr.
	ECR *RegistryECR `yaml:"ecr"`
}

// RegistryECR says which AWS identity is used for one ECR registry.
type RegistryECR struct {
	// Credentials are tried in order, as in the section ecr; empty means those of that section.
	Credentials []ECRCredential `yaml:"credentials"`
	// ServiceAccount is the setting for this registry, nil for that of the section ecr.
	ServiceAccount *ServiceAccount `yaml:"serviceAccount"`
}

// ServiceAccount says that the pod's own role gets the tokens for pulls from ECR, in place of the
// node's identity.
type ServiceAccount struct {
	// RoleAnnotation is the annotation of the pod's service account that holds the role's ARN.
	RoleAnnotation string `yaml:"roleAnnotation" default:"eks.amazonaws.com/ecr-role-arn"`
	// OnMissingRole is what a pod without a role gets.
	OnMissingRole ecr.MissingRole `yaml:"onMissingRole" default:"none"`
}

// Auth says which authentication a registry accepts.
type Auth string

// The values of Auth.
const (
	AuthAuto  Auth = "auto"  // basic until the prober finds otherwise
	AuthBasic Auth = "basic" // Basic on every request: the header channel
	AuthToken Auth = "token" // Bearer tokens only: the provider channel
)

// TLS says how a host is verified and which client certificate is presented.
type TLS struct {
	CAFile             string `yaml:"caFile"`
	CertFile           string `yaml:"certFile"`
	KeyFile            string `yaml:"keyFile"`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify"`

	// CA, Cert and Key are the contents of the files (PEM), empty if unset. CA and Cert hold
	// only the certificates of their files.
	CA   []byte        `yaml:"-"`
	Cert []byte        `yaml:"-"`
	Key  redact.Secret `yaml:"-"`
}

// DockerLogin is one entry of a .dockerconfigjson.
type DockerLogin struct {
	Host     string // host[:port][/path]; Docker Hub's forms become docker.io
	Username string
	Password redact.Secret
	Bearer   bool // Password is a Bearer token and Username is ""
}

// ECR says which AWS identity is used for ECR, and which other host names are ECR registries.
type ECR struct {
	// Credentials are tried in order; the next one only if the one before cannot give a
	// token. Default: the instance profile, then static keys from the environment or the
	// shared credentials file.
	Credentials []ECRCredential `yaml:"credentials"`
	Registries  []ECRRegistry   `yaml:"registries"`
	// ServiceAccount is the setting for all ECR registries without their own, nil for none.
	ServiceAccount *ServiceAccount `yaml:"serviceAccount"`
}

// ECRCredential is one source of credentials; exactly one field is set.
type ECRCredential struct {
	InstanceProfile *InstanceProfile `yaml:"instanceProfile"`
	Static          *StaticKeys      `yaml:"static"`
	SDK             *SDKCredentials  `yaml:"sdk"`
}

// InstanceProfile is the role of the EC2 instance, read through IMDSv2.
type InstanceProfile struct{}

// defaultCredentials returns the chain for a file that gives none.
func defaultCredentials() []ECRCredential {
	return []ECRCredential{{InstanceProfile: &InstanceProfile{}}, {Static: &StaticKeys{}}}
}

// StaticKeys are given inline, in files or in a shared credentials file; if nothing is set, in the
// process environment and then ~/.aws/credentials. After loading, AccessKeyID, SecretAccessKey and
// SessionToken also hold the content of their files.
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

// SDKCredentials are what AWS's SDKs find by themselves, but for the role of the instance: with a
// profile that profile of the shared files alone, without one the environment, AWS_PROFILE and the
// container endpoint. The files need not exist when the config is loaded: others write them.
type SDKCredentials struct {
	Profile         string `yaml:"profile"`
	ConfigFile      string `yaml:"configFile"`      // default: AWS_CONFIG_FILE or ~/.aws/config
	CredentialsFile string `yaml:"credentialsFile"` // default: AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
}

// ECRRegistry names a host that is an ECR registry under another name.
type ECRRegistry struct {
	Host    string `yaml:"host"`
	Account string `yaml:"account"`
	Region  string `yaml:"region"`
	// Credentials are the only ones for this registry; empty means those of [ECR].
	Credentials []ECRCredential `yaml:"credentials"`
}

// HealthMode says what the agent does about an endpoint that does not answer.
type HealthMode string

// The values of HealthMode.
const (
	HealthWithdraw HealthMode = "withdraw"
	HealthReport   HealthMode = "report"
	HealthOff      HealthMode = "off"
)

// Health configures the agent's prober.
type Health struct {
	Mode      HealthMode `yaml:"mode" default:"withdraw"`
	Interval  Duration   `yaml:"interval" default:"15s"`
	Timeout   Duration   `yaml:"timeout" default:"2s"`
	Failures  int        `yaml:"failures" default:"2"`
	Successes int        `yaml:"successes" default:"2"`
}

// Proxy is the proxy that containerd uses, if it differs from that of the agent's environment.
type Proxy struct {
	// A proxy URL may contain a login, so it is redacted.
	HTTPProxy  redact.Secret `yaml:"httpProxy"`
	HTTPSProxy redact.Secret `yaml:"httpsProxy"`
	NoProxy    string        `yaml:"noProxy"`
}

// Settings returns p in the form that chooses a proxy.
func (p Proxy) Settings() proxy.Settings {
	return proxy.Settings{HTTP: p.HTTPProxy, HTTPS: p.HTTPSProxy, No: p.NoProxy}
}

// Conflict says what to do about a foreign file at the path of one of Berth's files, in containerd's
// directory and in Docker's.
type Conflict string

// The values of Conflict.
const (
	ConflictReport Conflict = "report"
	ConflictAdopt  Conflict = "adopt"
)

// Containerd configures the directory from which containerd reads hosts.toml files.
type Containerd struct {
	CertsDir   string   `yaml:"certsDir" default:"/etc/containerd/certs.d"`
	OnConflict Conflict `yaml:"onConflict" default:"report"`
}

// DockerMode says whether hosts.toml files are written for Docker Engine.
type DockerMode string

// The values of DockerMode.
const (
	// DockerAuto begins when a Docker Engine is seen that reads the files. It ends when the engine is
	// known to use another image store.
	DockerAuto DockerMode = "auto"
	DockerOn   DockerMode = "on"
	DockerOff  DockerMode = "off" // files that Berth wrote there are removed
)

// Docker configures the directory from which Docker Engine reads hosts.toml files.
type Docker struct {
	CertsDir string     `yaml:"certsDir" default:"/etc/docker/certs.d"`
	Mode     DockerMode `yaml:"mode" default:"auto"`
}

// Kubelet says what is written for kubelet besides the files of the credential provider.
type Kubelet struct {
	// ConfigJSON writes logins of token registries into kubelet's own config.json.
	ConfigJSON bool `yaml:"configJSON"`
}

// Duration is a time span in Go's notation: 2s, 1m30s.
type Duration time.Duration

// String returns the form used in the file.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns the same form, for YAML and JSON.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
