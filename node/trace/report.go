package trace

import "time"

// Report is what there is to say about one image.
type Report struct {
	Image     string `json:"image"`               // as it was asked for
	Reference string `json:"reference,omitempty"` // in full, as containerd takes it
	Registry  string `json:"registry,omitempty"`  // the part that the directory is looked up by
	// CertsDir is the config_path in effect, "" when none is.
	CertsDir string `json:"certsDir,omitempty"`
	// Directory is the one that wins, by its name below CertsDir; "" if none.
	Directory string   `json:"directory,omitempty"`
	Shadowed  []string `json:"shadowed,omitempty"` // directories that it keeps from being used
	Ignored   string   `json:"ignored,omitempty"`  // why its hosts.toml is skipped
	// Hosts are asked in this order.
	Hosts []Host `json:"hosts"`
	// Credential says what kubelet would pass, or why nothing.
	Credential string  `json:"credential,omitempty"`
	Digest     string  `json:"digest,omitempty"` // what the reference stands for
	Notes      []Note  `json:"notes,omitempty"`
	Verdict    Verdict `json:"verdict"`
}

// Host is one host that containerd asks, and what it answers.
type Host struct {
	URL          string   `json:"url"` // what the repository is appended to
	Capabilities []string `json:"capabilities"`
	// Itself says that it is the registry of the image, and no mirror.
	Itself     bool       `json:"itself"`
	Credential Credential `json:"credential"`
	// Headers are the names of further headers that it gets.
	Headers []string `json:"headers,omitempty"`
	Resolve Probe    `json:"resolve"` // what the tag or digest stands for
	Content Probe    `json:"content"` // the manifest, by its digest
	Layer   Probe    `json:"layer"`   // the beginning of one layer
	Limit   *Limit   `json:"limit,omitempty"`
	// Challenges says that it asked for a login: a pull secret would go to it,
	// or to TokenServer, scheme and host, if it named one.
	Challenges  bool   `json:"challenges,omitempty"`
	TokenServer string `json:"tokenServer,omitempty"`
}

// Credential is the login that a host gets.
type Credential struct {
	Channel  string     `json:"channel"` // header, provider or none
	Username string     `json:"username,omitempty"`
	What     string     `json:"what,omitempty"` // "ECR token" or "login"
	Rule     string     `json:"rule,omitempty"` // what of the config it comes from
	Expires  *time.Time `json:"expires,omitempty"`
	Problem  string     `json:"problem,omitempty"` // why there is none, though one is meant for it
}

// Probe is the answer to one question.
type Probe struct {
	// Asked is false when containerd would not ask, or it did not come to it;
	// Detail then says why.
	Asked     bool    `json:"asked"`
	OK        bool    `json:"ok"`
	Status    int     `json:"status,omitempty"` // of the last answer
	LatencyMS float64 `json:"latencyMs,omitempty"`
	Digest    string  `json:"digest,omitempty"`
	Redirect  string  `json:"redirect,omitempty"` // scheme and host that it was sent to
	Detail    string  `json:"detail,omitempty"`   // why not
	// Final says that containerd gives up here and asks no other host.
	Final bool `json:"final,omitempty"`
	// Unknown says that containerd would go further here than this command
	// does, so what it would get is not known.
	Unknown bool `json:"unknown,omitempty"`

	waits bool // no connection or no answer in the time given
	// wait is how long containerd waits then; 0 when that is not known.
	wait time.Duration
}

// Limit is how many pulls a registry still gives.
type Limit struct {
	Remaining int     `json:"remaining"`
	Total     int     `json:"total"`
	WindowS   float64 `json:"windowSeconds"`
}

// Note is something to know, and what to do about it.
type Note struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Verdict says which host will serve the image.
type Verdict struct {
	Serves bool `json:"serves"`
	// Unknown says that it cannot be told whether any host serves it.
	Unknown bool `json:"unknown,omitempty"`
	// Resolver says what the reference stands for, Host gives the layers; both
	// are host[:port], and mostly the same.
	Resolver string `json:"resolver,omitempty"`
	Host     string `json:"host,omitempty"`
	Text     string `json:"text"`
}
