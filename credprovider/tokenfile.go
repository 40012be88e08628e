package credprovider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/atomicfile"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/internal/safedir"
)

// tokenFileVersion is the format that is written. A file of another version is set aside.
const tokenFileVersion = 1

// maxTokenFile is the size of the largest token file, in bytes. Usual are 4,000.
const maxTokenFile = 256 << 10

// tokenFile is the state of one identity in one region: its token, and the reason why it got no
// newer one.
type tokenFile struct {
	Version  int    `json:"version"`
	Service  string `json:"service"`
	Identity string `json:"identity"`
	Region   string `json:"region"`

	Token   *storedToken `json:"token,omitempty"`
	Verdict *ecr.Verdict `json:"verdict,omitempty"`
}

// storedToken is a token with its secret in clear text: the file has mode 0600.
type storedToken struct {
	Username string    `json:"username"`
	Password string    `json:"password"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	// Stamp is that of the source's files when the token was fetched, and Principal whose token it
	// is: see [ecr.Identity] and [ecr.Token].
	Stamp     string `json:"stamp,omitempty"`
	Principal string `json:"principal,omitempty"`
}

// scope is the service and region that a token is valid for.
type scope struct{ service, region string }

func scopeOf(r ecr.Registry) scope { return scope{string(r.Service()), r.Region} }

func (s scope) fileName(identity string) string {
	return s.service + "_" + identity + "_" + s.region + ".json"
}

// errUnusableFile marks a token file that must be set aside.
var errUnusableFile = errors.New("unusable token file")

// parseTokenFile parses a token file. The error quotes nothing of it.
func parseTokenFile(b []byte, s scope, identity string) (tokenFile, error) {
	var f tokenFile
	if err := json.Unmarshal(b, &f); err != nil {
		return tokenFile{}, fmt.Errorf("%w: not the JSON of a token file", errUnusableFile)
	}
	switch {
	case f.Version != tokenFileVersion:
		return tokenFile{}, fmt.Errorf("%w: format version %d, not %d", errUnusableFile, f.Version, tokenFileVersion)
	case f.Service != s.service || f.Region != s.region || f.Identity != identity:
		// It was renamed; its content is for another scope or identity.
		return tokenFile{}, fmt.Errorf("%w: its content is for another service, region or identity than its name", errUnusableFile)
	case f.Token != nil && !f.Token.believable():
		return tokenFile{}, fmt.Errorf("%w: AWS issues no such token", errUnusableFile)
	case f.Verdict != nil && !believable(*f.Verdict):
		return tokenFile{}, fmt.Errorf("%w: Berth writes no such verdict", errUnusableFile)
	}
	return f, nil
}

// believable reports whether [ecr.Chain.Fetch] can have returned t. A file with any other token, or
// with an expiry in 9999, was not written by Berth.
func (t storedToken) believable() bool {
	life := t.Expires.Sub(t.Issued)
	return t.Username != "" && ecr.Printable(t.Username) && t.Password != "" && ecr.Printable(t.Password) &&
		life > 0 && life <= ecr.MaxLife && ecr.Printable(t.Principal)
}

// believable is the same for a verdict: its message is shown, and while it holds the source is not
// asked.
func believable(v ecr.Verdict) bool {
	return v.Until.Sub(v.At) <= ecr.MaxLife && !strings.ContainsFunc(string(v.Outcome)+v.Message, unicode.IsControl)
}

// usable returns the token of f if it can be used at now.
func (f tokenFile) usable(now time.Time) (ecr.Token, bool) {
	t := f.Token
	if t == nil || !usable(t.Issued, t.Expires, now) {
		return ecr.Token{}, false
	}
	return ecr.Token{Username: t.Username, Password: redact.New(t.Password), Issued: t.Issued, Expires: t.Expires, Principal: t.Principal}, true
}

// readTokenFile reads the file of an identity. A missing one is no error and yields an empty
// tokenFile. Every error is errUnusableFile; the caller calls [setAside].
func readTokenFile(dir string, s scope, identity string) (tokenFile, error) {
	b, err := readPrivate(filepath.Join(dir, s.fileName(identity)), maxTokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return tokenFile{}, nil
	}
	if err != nil {
		return tokenFile{}, fmt.Errorf("%w: %w", errUnusableFile, err)
	}
	return parseTokenFile(b, s, identity)
}

// readPrivate reads a regular file of at most limit bytes that belongs to this user, in a directory
// that no other user may write to. A symlink is refused.
func readPrivate(path string, limit int64) ([]byte, error) {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := safedir.Check(filepath.Dir(path), dir); err != nil {
		return nil, err
	}
	b, info, err := readRegular(path, syscall.O_NOFOLLOW, limit)
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: belongs to user %d, not to user %d", path, st.Uid, os.Geteuid())
	}
	return b, nil
}

// readRegular reads a regular file of at most limit bytes; flags are additional ones of open(2).
// Opening it never waits, not even for a fifo. Errors are *[fs.PathError].
func readRegular(path string, flags int, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|flags, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		fault := fmt.Errorf("not a regular file of at most %d KiB", limit>>10)
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: fault}
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead) // enough, unless the file grows
	_, err = b.ReadFrom(io.LimitReader(f, limit+1))
	return b.Bytes(), info, err
}

// writeTokenFile writes f atomically. The caller holds the lock, so the name of the temporary file
// is fixed: one that a crash left behind is replaced.
func writeTokenFile(dir string, s scope, f tokenFile) error {
	f.Version, f.Service, f.Region = tokenFileVersion, s.service, s.region
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := s.fileName(f.Identity)
	// Not synced: /run is in memory, and a lost token is fetched again.
	temp := atomicfile.Temp{Dir: root, Name: name + ".tmp", Mode: 0o600, NoSync: true}
	_ = root.Remove(temp.Name) // one that is left makes Replace fail
	return temp.Replace(name, bytes.NewReader(append(b, '\n')))
}

// setAside renames a token file, so that an operator can inspect it. At most one such file is kept
// for each name.
func setAside(dir string, s scope, identity string) error {
	path := filepath.Join(dir, s.fileName(identity))
	return os.Rename(path, path+".set-aside")
}
