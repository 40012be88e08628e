package trace

import (
	"net/http"
	"time"
)

// Report is the result for one image.
type Report struct {
	Image     string `json:"image"`               // as the user wrote it
	Reference string `json:"reference,omitempty"` // complete, as containerd uses it
	Registry  string `json:"registry,omitempty"`  // selects the directory
	// CertsDir is the config_path in effect, "" if there is none.
	CertsDir string `json:"certsDir,omitempty"`
	// Directory is the directory that wins, a name below CertsDir; "" if there is none.
	Directory string   `json:"directory,omitempty"`
	Shadowed  []string `json:"shadowed,omitempty"` // directories that are not used because of it
	Ignored   string   `json:"ignored,omitempty"`  // why its hosts.toml is skipped
	// Hosts are asked in this order.
	Hosts []Host `json:"hosts"`
	// Credential is what kubelet would pass, or why it passes nothing.
	Credential string  `json:"credential,omitempty"`
	Digest     string  `json:"digest,omitempty"` // of the reference
	Notes      []Note  `json:"notes,omitempty"`
	Verdict    Verdict `json:"verdict"`
}

// Host is one host that containerd asks, and what it answers.
type Host struct {
	URL          string   `json:"url"` // what the repository is appended to
	Capabilities []string `json:"capabilities"`
	// Itself is true for the registry of the image, false for a mirror.
	Itself     bool       `json:"itself"`
	Credential Credential `json:"credential"`
	// Headers are the names of the other headers that it gets.
	Headers []string `json:"headers,omitempty"`
	Resolve Probe    `json:"resolve"` // the digest of the reference
	Content Probe    `json:"content"` // the manifest, by its digest
	Layer   Probe    `json:"layer"`   // the beginning of one layer
	Limit   *Limit   `json:"limit,omitempty"`
	// Challenges is true if it asked for a login. A pull secret would be sent to it, or to
	// TokenServer (scheme and host) if it named one.
	Challenges  bool   `json:"challenges,omitempty"`
	TokenServer string `json:"tokenServer,omitempty"`
	// TokenLogin says which login the token server gets.
	TokenLogin string `json:"tokenLogin,omitempty"`

	passed bool // kubelet passes a login for it, beside a header too
}

// Credential is the login that a host gets.
type Credential struct {
	Channel  string     `json:"channel"` // header, provider, config.json or none
	Username string     `json:"username,omitempty"`
	What     string     `json:"what,omitempty"`   // "ECR token" or "login"
	Rule     string     `json:"rule,omitempty"`   // the rule of the config
	Source   string     `json:"source,omitempty"` // the AWS identity that got the token
	Expires  *time.Time `json:"expires,omitempty"`
	Problem  string     `json:"problem,omitempty"` // why there is none, though one is meant for it
}

// Probe is the answer to one question.
type Probe struct {
	// Asked is false if containerd would not ask, or did not get to it; Detail is the reason.
	Asked     bool    `json:"asked"`
	OK        bool    `json:"ok"`
	Status    int     `json:"status,omitempty"` // of the last answer
	LatencyMS float64 `json:"latencyMs,omitempty"`
	Digest    string  `json:"digest,omitempty"`
	Redirect  string  `json:"redirect,omitempty"` // scheme and host that it was sent to
	Detail    string  `json:"detail,omitempty"`   // why not
	// Final is true if containerd gives up here and asks no other host.
	Final bool `json:"final,omitempty"`
	// Unknown is true if containerd would go further here than this command does, so that the
	// answer that it would get is unknown.
	Unknown bool `json:"unknown,omitempty"`

	waits bool // no connection or no answer in time
	// wait is how long containerd waits in that case; 0 if unknown.
	wait time.Duration
}

// Refused reports whether the host refused the login that it got, or asked for another one.
func (p Probe) Refused() bool {
	return p.Asked && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden)
}

// Limit is the number of pulls that a registry still allows.
type Limit struct {
	Remaining int     `json:"remaining"`
	Total     int     `json:"total"`
	WindowS   float64 `json:"windowSeconds"`
}

// Note is something to know, and its remedy.
type Note struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Verdict says which host will serve the image.
type Verdict struct {
	Serves bool `json:"serves"`
	// Unknown is true if it is unknown whether any host serves the image.
	Unknown bool `json:"unknown,omitempty"`
	// Resolver is the host that resolves the reference, Host the one that serves the layers. Both
	// are host[:port], and usually the same.
	Resolver string `json:"resolver,omitempty"`
	Host     string `json:"host,omitempty"`
	Text     string `json:"text"`
}
