package status

import "time"

// Address is where the agent listens, and "berth status" asks, unless told
// otherwise.
const Address = "127.0.0.1:9474"

// Snapshot is what the agent tells of itself at one moment. In JSON, a time
// that is not set is left out, and a duration is a number of seconds.
type Snapshot struct {
	Version string    `json:"version"`
	Node    string    `json:"node"` // the name of the host
	Started time.Time `json:"started,omitzero"`
	// Time is when the snapshot was taken. Whatever is told relative to now
	// ("3m ago", "expires in 5h") is relative to it.
	Time  time.Time `json:"time,omitzero"`
	Ready Readiness `json:"readiness"`
	Phase Phase     `json:"phase"`
	// PhaseSince is when Phase became what it is.
	PhaseSince time.Time `json:"phaseSince,omitzero"`
	// Alarms are derived by [Alarms]. [Handler] fills them in, whatever its
	// source has put here.
	Alarms   []Alarm  `json:"alarms"`
	Config   Config   `json:"config"`
	Converge Converge `json:"converge"`
	// Containerd is the one of this node; nil before it was looked at.
	Containerd *Containerd `json:"containerd,omitempty"`
	Mirrors    []Mirror    `json:"mirrors"`
	// Registries are those that images name themselves and that have a login
	// in a header, be it behind mirrors: the login is tried out there, too.
	// Whether they answer decides nothing.
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
	Reasons []string `json:"reasons,omitempty"` // why not; a line each
}

// Phase is where the agent is in its life.
type Phase string

// The phases.
const (
	Starting   Phase = "starting"
	Waiting    Phase = "waiting for another agent"
	Converging Phase = "converging"
	Converged  Phase = "converged"
	Restored   Phase = "restored" // --restore: the node is as before Berth
)

// Config is how the RegistryConfig was read.
type Config struct {
	Path string `json:"path"`
	// Loaded is when this agent took up the one in use, with the files that it
	// names. Reading the same again does not count, reading it after one that
	// could not be used does. It is not set for one of an earlier agent.
	Loaded time.Time `json:"loaded,omitzero"`
	// OK says that what lies at Path now is in use.
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"` // why not; a line a mistake
	Since time.Time `json:"since,omitzero"`  // since when OK is what it is
	// Stale says that OK is false and the last good one is in use.
	Stale     bool     `json:"stale,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Upstreams int      `json:"upstreams"` // of the one in use
}

// Converge is the loop that makes the node what it shall be.
type Converge struct {
	Last         time.Time `json:"last,omitzero"`
	LastSuccess  time.Time `json:"lastSuccess,omitzero"`
	Duration     Seconds   `json:"durationSeconds"` // of the last run
	Runs         uint64    `json:"runs"`
	Failures     uint64    `json:"failures"`
	Error        string    `json:"error,omitempty"` // of the last run
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Watching is [Inotify], or "timer: " and why inotify is not used; empty
	// before the first look.
	Watching   string    `json:"watching,omitempty"`
	NextResync time.Time `json:"nextResync,omitzero"`
}

// Containerd tells whether the node's containerd reads what the agent writes.
type Containerd struct {
	Version    string `json:"version,omitempty"` // "" when it is not known
	ConfigPath string `json:"configPath,omitempty"`
	Reads      Reads  `json:"reads"`
	Why        string `json:"why,omitempty"`    // unless Reads is yes
	Remedy     string `json:"remedy,omitempty"` // a command, or what to write
	// Since is when Reads became what it is, as this agent saw it.
	Since time.Time `json:"since,omitzero"`
}

// Reads is whether hosts.toml files are read.
type Reads string

// The values of Reads; those of node.Reading.
const (
	ReadsYes     Reads = "yes"
	ReadsNo      Reads = "no"
	ReadsRestart Reads = "restart" // containerd was not restarted since its configuration was changed
	ReadsUnknown Reads = "unknown"
)

// Inotify is the value of Converge.Watching when changes of files are told by
// the kernel.
const Inotify = "inotify"

// Mirror is one upstream with its endpoints, in the order of the config.
type Mirror struct {
	Upstream  string `json:"upstream"`
	Directory string `json:"directory,omitempty"` // its directory below certs.d
	// Fallback is what is asked when no endpoint has the image, as people
	// know it; empty with upstreamFallback: false.
	Fallback string `json:"fallback,omitempty"`
	// FallbackDown says that the fallback is known not to answer either.
	FallbackDown bool       `json:"fallbackDown,omitempty"`
	Endpoints    []Endpoint `json:"endpoints"`
}

// Endpoint is one mirror of an upstream, or a registry.
type Endpoint struct {
	URL   string `json:"url"`
	State State  `json:"state"`
	// Withdrawn says that it is left out of hosts.toml.
	Withdrawn     bool      `json:"withdrawn,omitempty"`
	Since         time.Time `json:"since,omitzero"` // since when State is what it is
	LastProbe     time.Time `json:"lastProbe,omitzero"`
	ProbeDuration Seconds   `json:"probeDurationSeconds,omitzero"` // of the last probe
	HTTPStatus    int       `json:"httpStatus,omitempty"`          // of the last probe; 0: no answer
	Error         string    `json:"error,omitempty"`               // of the last probe
	Probes        uint64    `json:"probes"`
	// Failures counts failed probes by reason: a word or two in lower case,
	// out of few, joined by underscores.
	Failures map[string]uint64 `json:"failures,omitempty"`
	// RequestsPerHour is what this node sends to the registry that the
	// endpoint is on, to know how it does.
	RequestsPerHour float64 `json:"requestsPerHour,omitempty"`
	// Login is what the header carries, in words: "ECR token", "login of
	// harbor.corp", or empty.
	Login string `json:"login,omitempty"`
	Basic Basic  `json:"basic,omitempty"`
	// LeftOut is why the login is in no header, or why that may be of no use.
	LeftOut  string   `json:"leftOut,omitempty"`
	Redirect Redirect `json:"redirect,omitempty"`
	Note     string   `json:"note,omitempty"` // what else an operator should know
}

// State is what the prober knows of an endpoint.
type State string

// The states.
const (
	Up      State = "up"
	Down    State = "down"
	Unknown State = "unknown"
)

// Basic is what the prober learned about Basic on a manifest path.
type Basic string

// What it can have learned; empty when it did not ask.
const (
	BasicAccepted Basic = "accepted"
	BasicRefused  Basic = "refused"
	// BasicToken: refused, but containerd exchanges it for a token.
	BasicToken Basic = "for a token"
	BasicWrong Basic = "wrong login" // the registry would take Basic, but not this one
)

// Redirect is where the endpoint sends whoever asks for a blob.
type Redirect string

// What it can have learned; empty when it did not ask.
const (
	RedirectNone      Redirect = "none"       // it serves blobs itself
	RedirectOther     Redirect = "other host" // where the header does not go
	RedirectOtherPort Redirect = "other port" // of the same host, or a subdomain: the header would go along
)

// Token is one token of ECR: one service, region and AWS identity.
type Token struct {
	Service  string   `json:"service"` // ecr or ecr-public
	Region   string   `json:"region"`
	Identity string   `json:"identity"`         // as in the name of the token's file
	Source   string   `json:"source,omitempty"` // which credentials served, in words
	Hosts    []string `json:"hosts,omitempty"`  // of the config that it is for
	// Adopted says that the config does not need it, but kubelet's provider
	// did.
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

// Files are the files of the node that Berth writes.
type Files struct {
	Managed   int        `json:"managed"`
	Written   uint64     `json:"written"`
	Repaired  uint64     `json:"repaired"` // somebody changed them, and they were put right
	Removed   uint64     `json:"removed"`
	Conflicts []FileNote `json:"conflicts"` // somebody else's
	Skipped   []FileNote `json:"skipped"`   // left for the next run
	Saved     []FileNote `json:"saved"`     // the last copies of what others wrote
}

// FileNote is something to know about one path.
type FileNote struct {
	Path   string    `json:"path"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
}

// DockerHub is what Docker Hub says about the pulls of this address or login.
type DockerHub struct {
	Limit     int       `json:"limit"` // 0: unlimited, or not told
	Remaining int       `json:"remaining"`
	Window    Seconds   `json:"windowSeconds,omitzero"`
	Time      time.Time `json:"time,omitzero"` // of the answer
	Error     string    `json:"error,omitempty"`
}

// Known reports whether Docker Hub told a limit.
func (d *DockerHub) Known() bool { return d != nil && d.Limit > 0 && !d.Time.IsZero() }

// Event is something that went wrong.
type Event struct {
	Time    time.Time `json:"time,omitzero"` // the last time
	Message string    `json:"message"`
	Count   uint64    `json:"count"`
}
