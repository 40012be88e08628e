package hostsconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/internal/tomldoc"
)

// FileName is the file that containerd reads in a directory of certs.d.
const FileName = "hosts.toml"

const (
	fileName = FileName
	// poolDir holds the certificates of all directories. No registry can have this name, so
	// containerd never looks it up. A certificate alone in a registry's directory would hide
	// _default.
	poolDir = "_berth"
	// caGracePeriod is how long an unused certificate stays, for pulls that have already read
	// the hosts.toml that named it.
	caGracePeriod = 10 * time.Minute
)

// render returns the files of one directory: certificates first, hosts.toml last. It refuses input
// that some containerd release would misread.
func render(certsDir string, d Directory) ([]managedfile.File, error) {
	r := renderer{certsDir: certsDir, upstream: d.Upstream, seen: map[string]bool{}}
	if d.Server != nil {
		if err := r.server(*d.Server); err != nil {
			return nil, fmt.Errorf("%s: server: %w", d.Upstream, err)
		}
	} else {
		// Without a server they apply to the upstream, which containerd asks last.
		r.certificates(TLS{Foreign: d.Foreign}, "")
	}
	for i, h := range d.Hosts {
		if err := r.host(h); err != nil {
			return nil, fmt.Errorf("%s: host %d: %w", d.Upstream, i+1, err)
		}
	}
	if len(d.Hosts) == 0 {
		// containerd 1.6, and 1.7 up to 1.7.31, ignore a file without any [host] table.
		r.separate()
		r.body.WriteString("[host]\n")
	}
	return append(r.files, managedfile.File{
		Path:    path.Join(certsDir, DirName(d.Upstream), fileName),
		Body:    r.body.Bytes(),
		Mode:    r.mode(),
		Comment: "#",
		Needs:   r.needs,
	}), nil
}

type renderer struct {
	certsDir string
	upstream string
	body     bytes.Buffer
	files    []managedfile.File
	needs    []string
	seen     map[string]bool // URLs of the hosts rendered so far
	header   bool            // a host has a header, which may be a secret
}

func (r *renderer) mode() fs.FileMode {
	if r.header {
		return 0o600
	}
	return 0o644
}

// separate writes an empty line before a table unless the file is empty.
func (r *renderer) separate() {
	if r.body.Len() > 0 {
		r.body.WriteByte('\n')
	}
}

func (r *renderer) server(h Host) error {
	fmt.Fprintf(&r.body, "server = %s\n", tomldoc.Quote(h.URL.String()))
	if err := r.keys(h, ""); err != nil {
		return err
	}
	return r.headers(h, "header", "")
}

func (r *renderer) host(h Host) error {
	url := h.URL.String()
	if r.seen[url] {
		return fmt.Errorf("%s is listed twice", url)
	}
	r.seen[url] = true
	r.separate()
	table := "host." + tomldoc.Quote(url)
	fmt.Fprintf(&r.body, "[%s]\n", table)
	if err := r.keys(h, "  "); err != nil {
		return err
	}
	// The header table must directly follow its host's table: with another table in between,
	// containerd 2.x would list the host twice.
	return r.headers(h, table+".header", "  ")
}

func (r *renderer) keys(h Host, indent string) error {
	if len(h.Capabilities) > 0 {
		for _, c := range h.Capabilities {
			if c != "pull" && c != "resolve" && c != "push" {
				return fmt.Errorf("capability %q: older containerd releases ignore the whole file; use pull, resolve and push", c)
			}
		}
		fmt.Fprintf(&r.body, "%scapabilities = %s\n", indent, quoteList(h.Capabilities))
	}
	if h.URL.OverridePath {
		fmt.Fprintf(&r.body, "%soverride_path = true\n", indent)
	}
	if h.URL.Scheme != "https" {
		// With TLS keys (even skip_verify = false) or dial_timeout, some releases try https on an
		// http host.
		return nil
	}
	if h.DialTimeout > 0 {
		fmt.Fprintf(&r.body, "%sdial_timeout = %s\n", indent, tomldoc.Quote(h.DialTimeout.String()))
	}
	if h.TLS.SkipVerify {
		fmt.Fprintf(&r.body, "%sskip_verify = true\n", indent)
	}
	r.certificates(h.TLS, indent)
	return nil
}

// certificates writes the keys ca and client of a host.
func (r *renderer) certificates(t TLS, indent string) {
	var ca []string
	var client [][2]string
	if t.CA != nil {
		ca = append(ca, r.certificate("ca", t.CA, 0o644))
	}
	if t.Cert != nil {
		cert := r.certificate("client", t.Cert, 0o644)
		key := r.certificate("key", []byte(t.Key.Reveal()), 0o600)
		client = append(client, [2]string{cert, key})
	}
	if t.Foreign != nil {
		for _, file := range t.Foreign.CA {
			ca = append(ca, t.Foreign.relative(r.upstream, file))
		}
		for _, p := range t.Foreign.Client {
			client = append(client, [2]string{t.Foreign.relative(r.upstream, p[0]), t.Foreign.relative(r.upstream, p[1])})
		}
	}
	switch len(ca) {
	case 0:
	case 1:
		fmt.Fprintf(&r.body, "%sca = %s\n", indent, tomldoc.Quote(ca[0]))
	default:
		fmt.Fprintf(&r.body, "%sca = %s\n", indent, quoteList(ca))
	}
	if len(client) > 0 {
		pairs := make([]string, len(client))
		for i, p := range client {
			pairs[i] = quoteList(p[:])
		}
		fmt.Fprintf(&r.body, "%sclient = [%s]\n", indent, strings.Join(pairs, ", "))
	}
}

// certificate adds a file to the pool, named by its content, and returns its path relative to the
// directory of a hosts.toml, so that the same bytes work below any root.
func (r *renderer) certificate(prefix string, pem []byte, mode fs.FileMode) string {
	sum := sha256.Sum256(pem)
	name := prefix + "-" + hex.EncodeToString(sum[:8]) + ".pem"
	file := path.Join(r.certsDir, poolDir, name)
	if !slices.Contains(r.needs, file) {
		r.needs = append(r.needs, file)
		r.files = append(r.files, managedfile.File{
			Path: file, Body: pem, Mode: mode, Comment: "#", GracePeriod: caGracePeriod,
		})
	}
	return path.Join("..", poolDir, name)
}

func (r *renderer) headers(h Host, table, indent string) error {
	if len(h.Header) == 0 && h.Authorization.IsZero() {
		return nil
	}
	r.header = true
	if indent == "" {
		r.separate()
	}
	fmt.Fprintf(&r.body, "%s[%s]\n", indent, table)
	names := make([]string, 0, len(h.Header))
	for name := range h.Header {
		if strings.EqualFold(name, "authorization") {
			return fmt.Errorf("header %s can only be set by a login", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := checkHeader(name, h.Header[name]); err != nil {
			return err
		}
		fmt.Fprintf(&r.body, "%s  %s = %s\n", indent, tomldoc.Quote(name), quoteList(h.Header[name]))
	}
	if !h.Authorization.IsZero() {
		value := h.Authorization.Reveal()
		if !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("the login contains a character that an HTTP header cannot carry")
		}
		// The spelling matters: with a lower-case name, containerd would send a second header
		// after a challenge.
		fmt.Fprintf(&r.body, "%s  Authorization = %s\n", indent, tomldoc.Quote(value))
	}
	return nil
}

func checkHeader(name string, values []string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header %q is not a valid name", name)
	}
	for _, v := range values {
		if !httpguts.ValidHeaderFieldValue(v) {
			return fmt.Errorf("header %s has a value with a control character", name)
		}
		if !utf8.ValidString(v) {
			return fmt.Errorf("header %s has a value that is not UTF-8, which TOML cannot hold", name)
		}
	}
	return nil
}

func quoteList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = tomldoc.Quote(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// BearerAuthorization returns the Authorization header value for a Bearer token, as RFC 6750 defines
// it.
func BearerAuthorization(token redact.Secret) redact.Secret {
	return redact.New("Bearer " + token.Reveal())
}

// BasicAuthorization returns the Authorization header value for a login, as RFC 7617 defines it.
func BasicAuthorization(username string, password redact.Secret) redact.Secret {
	return redact.New("Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password.Reveal())))
}
