// Package hostsconf turns registries and mirrors into the hosts.toml files that containerd and
// Docker Engine read below certs.d, and tells which hosts containerd asks for an image.
//
// Promises: a foreign file is changed only if the operator asked to adopt it, and the original is
// kept; a hosts.toml is installed only after containerd's own reader saw the intended hosts in it;
// the same input gives the same bytes. The package opens no connection and starts no process.
// Among foreign entries it opens only regular files.
//
// Start reading at [Directory], the input, then [Build] (the files), [Plan] (the changes) and
// [Tree.Apply] (the writes). [Lookup] answers which hosts are asked; reading*.go say how each
// containerd release reads a hosts.toml; foreign*.go read directories that others wrote.
package hostsconf

import (
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Default is the upstream for every registry that has no directory of its own.
const Default = "*"

// defaultDir is the directory of [Default].
const defaultDir = "_default"

// Directory describes one directory below certs.d: the hosts that containerd asks for images of
// one upstream, in order.
type Directory struct {
	Upstream string // host[:port] in lower case, or [Default]
	// Hosts are asked in this order, before Server.
	Hosts []Host
	// Server is asked last. If nil, containerd asks the upstream itself last.
	Server *Host
	// Foreign holds the certificates for the upstream itself if Server is nil.
	Foreign *ForeignCertificates
}

// Host is one registry that containerd may ask.
type Host struct {
	URL URL
	// Capabilities is a subset of pull, resolve and push; empty means all.
	Capabilities []string
	// DialTimeout is written for https only: containerd 2.0.7 to 2.0.14 would try https on an
	// http host that has one. 0 writes none.
	DialTimeout time.Duration
	Header      map[string][]string
	// Authorization is the value of the Authorization header. Only this host gets it.
	Authorization redact.Secret
	TLS           TLS
}

// TLS says how a host is verified and which client certificate is presented. It is ignored for
// http.
type TLS struct {
	CA         []byte        // PEM certificates; nil means the system's
	Cert       []byte        // PEM; with Key
	Key        redact.Secret // PEM
	SkipVerify bool
	// Foreign is added to the certificates above, by file name; nil adds none.
	Foreign *ForeignCertificates
}

// Material returns t with the content of the files in Foreign, for connections that Berth opens.
// A client certificate of the config has precedence over a foreign one.
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

// DirName returns the directory that containerd tries first for an upstream.
func DirName(upstream string) string {
	if upstream == Default {
		return defaultDir
	}
	return hostport.Directory(upstream)
}

// UpstreamOf is the inverse of [DirName]: it returns the upstream that containerd uses the
// directory for, or "" if there is none.
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
