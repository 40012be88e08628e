package hostsconf

import (
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Default is the upstream that stands for every registry without a directory
// of its own.
const Default = "*"

// defaultDir is the directory of [Default].
const defaultDir = "_default"

// Directory is what one directory below certs.d shall say: the hosts that
// containerd asks for images of one upstream, in order.
type Directory struct {
	Upstream string // host[:port] in lower case, or [Default]
	// Hosts are asked in this order, before Server.
	Hosts []Host
	// Server is always asked last. Nil leaves it to containerd, which then
	// asks the upstream itself.
	Server *Host
	// Foreign are the certificates for the upstream itself where Server is nil.
	Foreign *ForeignCertificates
}

// Host is one registry that containerd may ask.
type Host struct {
	URL URL
	// Capabilities out of pull, resolve and push; none means all.
	Capabilities []string
	// DialTimeout is written for https only: containerd 2.0.7 to 2.0.14
	// would try https on an http host that has one. 0 writes none.
	DialTimeout time.Duration
	Header      map[string][]string
	// Authorization is the value of the header of that name, for this host
	// and no other.
	Authorization redact.Secret
	TLS           TLS
}

// TLS is how a host is verified and how we prove who we are. It is ignored for
// http.
type TLS struct {
	CA         []byte        // PEM certificates; nil: the system's
	Cert       []byte        // PEM; with Key
	Key        redact.Secret // PEM
	SkipVerify bool
	// Foreign are added to those above, by the names of their files; nil for
	// none.
	Foreign *ForeignCertificates
}

// Material is t for a connection of our own: with what the files of Foreign
// hold. A client certificate of the config goes before one of theirs.
func (t TLS) Material() TLS {
	if t.Foreign.IsZero() {
		return t
	}
	theirs := t.Foreign.Material
	if len(theirs.CA) > 0 {
		t.CA = append(append(slices.Clone(t.CA), '\n'), theirs.CA...)
	}
	if t.Cert == nil {
		t.Cert, t.Key = theirs.Cert, theirs.Key
	}
	t.Foreign = nil
	return t
}

// DirName is the name of the directory that containerd looks at first for an
// upstream.
func DirName(upstream string) string {
	if upstream == Default {
		return defaultDir
	}
	return hostport.Directory(upstream)
}

// UpstreamOf is the inverse of [DirName]: the upstream that containerd uses
// the directory name for, "" if there is none.
func UpstreamOf(dirName string) string {
	if dirName == defaultDir {
		return Default
	}
	if strings.HasPrefix(dirName, "_") {
		return ""
	}
	if host, rest, ok := strings.Cut(dirName, "_"); ok {
		port, tail, ok := strings.Cut(rest, "_")
		if !ok || tail != "" {
			return ""
		}
		return host + ":" + port
	}
	return dirName
}
