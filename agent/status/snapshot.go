package status

import "time"

// Address is the default address at which the agent listens and which "berth status" asks.
const Address = "127.0.0.1:9474"

// Snapshot is the state of the agent at one moment. JSON omits a time that is not set, and a
// duration is a number of seconds.
type Snapshot struct {
	Version string    `json:"version"`
	Node    string    `json:"node"`           // the host name
	Pool    string    `json:"pool,omitempty"` // the node's pool in a fleet
	Started time.Time `json:"started,omitzero"`
	// Time is when the snapshot was taken. Relative times ("3m ago", "expires in 5h") refer to it.
	Time  time.Time `json:"time,omitzero"`
	Ready Readiness `json:"readiness"`
	Phase Phase     `json:"phase"`
	// PhaseSince is when Phase last changed.
	PhaseSince time.Time `json:"phaseSince,omitzero"`
	// Alarms are derived by [Alarms]. [Handler] overwrites them.
	Alarms   []Alarm  `json:"alarms"`
	Config   Config   `json:"config"`
	Converge Converge `json:"converge"`
	// Containerd is this node's; nil until it was first looked up.
	Containerd *Containerd `json:"containerd,omitempty"`
	// Docker is this node's Docker Engine; nil if none is seen.
	Docker *Docker `json:"docker,omitempty"`
	// ConfigJSON is kubelet's own config.json; nil unless kubelet.configJSON is set.
	ConfigJSON *ConfigJSON `json:"kubeletConfigJson,omitempty"`
	Mirrors    []Mirror    `json:"mirrors"`
	// Registries are registries of image names that have a login in a header, whether they have
	// mirrors or not: their login is probed too. Nothing depends on whether they answer.
	Registries []Endpoint `json:"registries"`
	Tokens     []Token    `json:"tokens"`
	Files      Files      `json:"files"`
	DockerHub  *DockerHub `json:"dockerHub,omitempty"` // nil: not asked
	Errors     []Event    `json:"errors"`              // the last ones, oldest first
	Notices    []string   `json:"notices"`
}

// Readiness says whether the node is as the config wants it.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"` // why not, one line each
}

// Phase is the phase of the agent's life.
type Phase string

// The phases.
const (
	Starting   Phase = "starting"
	Waiting    Phase = "waiting for another agent"
	Converging Phase = "converging"
	Converged  Phase = "converged"
	Restored   Phase = "restored" // --restore: the node is as before Berth
)

// Config is the state of the RegistryConfig.
type Config struct {
	Path string `json:"path"`
	// Hash identifies the config in use, see config.File.Hash; "" if there is none.
	Hash string `json:"hash,omitempty"`
	// Loaded is when this agent began to use the config in use, with its secret files. Reading the
	// same config again does not change it, unless an unusable one came between. It is not set for
	// a config of an earlier agent.
	Loaded time.Time `json:"loaded,omitzero"`
	// OK: the config at Path is in use.
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"` // why not, one line per mistake
	Since time.Time `json:"since,omitzero"`  // since when OK has this value
	// Stale: OK is false, and the last good config is in use.
	Stale     bool     `json:"stale,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Upstreams int      `json:"upstreams"` // of the config in use
}

// Converge is the state of the reconcile loop.
type Converge struct {
	Last         time.Time `json:"last,omitzero"`
	LastSuccess  time.Time `json:"lastSuccess,omitzero"`
	Duration     Seconds   `json:"durationSeconds"` // of the last run
	Runs         uint64    `json:"runs"`
	Failures     uint64    `json:"failures"`
	Error        string    `json:"error,omitempty"` // of the last run
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Watching is [Inotify], or "timer: " and why inotify is not used; empty before the first run.
	Watching   string    `json:"watching,omitempty"`
	NextResync time.Time `json:"nextResync,omitzero"`
}

// Containerd says whether the node's containerd reads the files that the agent writes.
type Containerd struct {
	Version    string `json:"version,omitempty"` // "" if unknown
	ConfigPath string `json:"configPath,omitempty"`
	Reads      Reads  `json:"reads"`
	Why        string `json:"why,omitempty"`    // unless Reads is yes
	Remedy     string `json:"remedy,omitempty"` // a command, or a value to write
	// CRIDisabled says that its CRI plugin is disabled, as on a host for Docker alone: no kubelet
	// pulls with it.
	CRIDisabled bool `json:"criDisabled,omitempty"`
	// Since is when this agent saw Reads change to its value.
	Since time.Time `json:"since,omitzero"`
}

// Docker says whether the node's Docker Engine reads hosts.toml files, and whether the agent writes
// them for it.
type Docker struct {
	Version  string `json:"version,omitempty"` // "" if unknown
	CertsDir string `json:"certsDir,omitempty"`
	Reads    Reads  `json:"reads"`
	Why      string `json:"why,omitempty"` // unless Reads is yes
	Written  bool   `json:"written"`
}

// ConfigJSON says which logins are in kubelet's own config.json. kubelet uses a change within five
// minutes.
type ConfigJSON struct {
	Path  string   `json:"path,omitempty"` // "" if it is not known
	Hosts []string `json:"hosts"`
	// Why is the reason why there are none, or why kubelet may use another file.
	Why string `json:"why,omitempty"`
}

// Reads says whether a program reads hosts.toml files.
type Reads string

// The values of Reads, the same as those of node.Reading.
const (
	ReadsYes     Reads = "yes"
	ReadsNo      Reads = "no"
	ReadsRestart Reads = "restart" // containerd has not restarted since its configuration changed
	ReadsUnknown Reads = "unknown"
)

// Inotify is the value of Converge.Watching when inotify reports file changes.
const Inotify = "inotify"

// Mirror is one upstream with its endpoints, in the order of the config.
type Mirror struct {
	Upstream  string `json:"upstream"`
	Directory string `json:"directory,omitempty"` // its directory below certs.d
	// Fallback is the registry that is asked if no endpoint has the image, as a name for people;
	// empty with upstreamFallback: false.
	Fallback string `json:"fallback,omitempty"`
	// FallbackDown: the fallback does not answer either.
	FallbackDown bool       `json:"fallbackDown,omitempty"`
	Endpoints    []Endpoint `json:"endpoints"`
}

// Endpoint is one mirror of an upstream, or a registry.
type Endpoint struct {
	URL   string `json:"url"`
	State State  `json:"state"`
	// Withdrawn: it is left out of hosts.toml.
	Withdrawn     bool      `json:"withdrawn,omitempty"`
	Since         time.Time `json:"since,omitzero"` // since when State has this value
	LastProbe     time.Time `json:"lastProbe,omitzero"`
	ProbeDuration Seconds   `json:"probeDurationSeconds,omitzero"` // of the last probe
	HTTPStatus    int       `json:"httpStatus,omitempty"`          // of the last probe; 0: no answer
	Error         string    `json:"error,omitempty"`               // of the last probe
	Probes        uint64    `json:"probes"`
	// Failures counts failed probes by reason, one of few lower-case words joined by underscores.
	Failures map[string]uint64 `json:"failures,omitempty"`
	// RequestsPerHour is what this node sends to the registry of the endpoint to probe it.
	RequestsPerHour float64 `json:"requestsPerHour,omitempty"`
	// Login describes the login of the header: "ECR token", "login of harbor.corp", or "".
	Login string `json:"login,omitempty"`
	Basic Basic  `json:"basic,omitempty"`
	// LeftOut is why the login is in no header, or why a header may be useless.
	LeftOut string `json:"leftOut,omitempty"`
	// TokenServer is the scheme and host of the token server that the registry names.
	TokenServer string   `json:"tokenServer,omitempty"`
	Redirect    Redirect `json:"redirect,omitempty"`
	Note        string   `json:"note,omitempty"` // other information for an operator
}

// State is what the prober knows about an endpoint.
type State string

// The states.
const (
	Up      State = "up"
	Down    State = "down"
	Unknown State = "unknown"
)

// Basic says whether the registry accepts Basic on a manifest path.
type Basic string

// The values of Basic; empty if it was not probed.
const (
	BasicAccepted Basic = "accepted"
	BasicRefused  Basic = "refused"
	// BasicToken: refused, but containerd exchanges the login for a token.
	BasicToken Basic = "for a token"
	BasicWrong Basic = "wrong login" // the registry accepts Basic, but not this login
)

// Redirect is where the endpoint redirects requests for blobs.
type Redirect string

// The values of Redirect; empty if it was not probed.
const (
	RedirectNone      Redirect = "none"       // it serves blobs itself
	RedirectOther     Redirect = "other host" // to which Go does not carry the header
	RedirectOtherPort Redirect = "other port" // or a subdomain of the same host: Go would carry the header
)

// Token is one ECR token: one service, region and AWS identity.
type Token struct {
	Service  string   `json:"service"` // ecr or ecr-public
	Region   string   `json:"region"`
	Identity string   `json:"identity"`         // as in the name of the token's file
	Source   string   `json:"source,omitempty"` // the credentials that worked, in words
	Hosts    []string `json:"hosts,omitempty"`  // registries in the config that use it
	// Adopted: the config does not need it, but kubelet's provider did.
	Adopted      bool              `json:"adopted,omitempty"`
	Valid        bool              `json:"valid"`
	Issued       time.Time         `json:"issued,omitzero"`
	Expires      time.Time         `json:"expires,omitzero"`
	NextRenewal  time.Time         `json:"nextRenewal,omitzero"`
	Renewals     uint64            `json:"renewals"`
	Failures     map[string]uint64 `json:"failures,omitempty"` // by reason, as Endpoint.Failures
	Error        string            `json:"error,omitempty"`    // of the last renewal
	ErrorTime    time.Time         `json:"errorTime,omitzero"`
	FailingSince time.Time         `json:"failingSince,omitzero"`
}

// Files describes the files that Berth writes on the node.
type Files struct {
	Managed   int        `json:"managed"`
	Written   uint64     `json:"written"`
	Repaired  uint64     `json:"repaired"` // restored after another program changed them
	Removed   uint64     `json:"removed"`
	Conflicts []FileNote `json:"conflicts"` // files that Berth did not write
	Skipped   []FileNote `json:"skipped"`   // left for the next run
	Saved     []FileNote `json:"saved"`     // the last copies of other programs' edits
}

// FileNote is a remark about one path.
type FileNote struct {
	Path   string    `json:"path"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
}

// DockerHub is Docker Hub's pull limit for this address or login.
type DockerHub struct {
	Limit     int       `json:"limit"` // 0: unlimited or unknown
	Remaining int       `json:"remaining"`
	Window    Seconds   `json:"windowSeconds,omitzero"`
	Time      time.Time `json:"time,omitzero"` // of the answer
	Error     string    `json:"error,omitempty"`
}

// Known reports whether Docker Hub gave a limit.
func (d *DockerHub) Known() bool { return d != nil && d.Limit > 0 && !d.Time.IsZero() }

// Event is an error that occurred.
type Event struct {
	Time    time.Time `json:"time,omitzero"` // of the last occurrence
	Message string    `json:"message"`
	Count   uint64    `json:"count"`
}
