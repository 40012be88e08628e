package serve

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// maxPasswords limits the file of passwords, in bytes.
const maxPasswords = 1 << 20

// Passwords verifies logins against a file as htpasswd -B writes it. The file is read again when it
// changes.
// https://httpd.apache.org/docs/2.4/misc/password_encryptions.html
type Passwords struct {
	file string
	// slots limits how many passwords are computed at once: each costs some 50 ms.
	slots chan struct{}
	key   []byte // of the hashes in known

	mu     sync.Mutex
	stamp  stamp
	hashes map[string][]byte
	known  map[[sha256.Size]byte]bool // logins that were right
}

// ReadPasswords reads the file of passwords. The error names the line and holds no part of it.
func ReadPasswords(file string) (*Passwords, error) {
	p := &Passwords{file: file, slots: make(chan struct{}, 2), key: make([]byte, sha256.Size)}
	if _, err := rand.Read(p.key); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p, p.refresh()
}

// refresh reads the file if it has changed. p.mu is held.
func (p *Passwords) refresh() error {
	info, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	if p.hashes != nil && p.stamp == stampOf(info) {
		return nil
	}
	if info.Size() > maxPasswords {
		return fmt.Errorf("%s: is larger than %d KiB", p.file, maxPasswords>>10)
	}
	text, err := os.ReadFile(p.file)
	if err != nil {
		return err
	}
	hashes := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || user == "" || err != nil {
			return fmt.Errorf("%s:%d: is not USER:HASH with a bcrypt hash; write it with htpasswd -B", p.file, n)
		}
		hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	if len(hashes) == 0 {
		return fmt.Errorf("%s: holds no login; add one with htpasswd -B", p.file)
	}
	p.stamp, p.hashes, p.known = stampOf(info), hashes, map[[sha256.Size]byte]bool{}
	return nil
}

// Protect returns a handler that answers 401 unless a request has a valid login.
func (p *Passwords) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		if given && p.valid(r, user, password) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Www-Authenticate", `Basic realm="berth images serve", charset="UTF-8"`)
		(&refusal{http.StatusUnauthorized, unauthorized, "a login is needed"}).write(w)
	})
}

// valid verifies a login. If the file cannot be read any more, the last passwords stay.
func (p *Passwords) valid(r *http.Request, user, password string) bool {
	mac := hmac.New(sha256.New, p.key)
	fmt.Fprintf(mac, "%d:%s:%s", len(user), user, password)
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])

	p.mu.Lock()
	_ = p.refresh()
	hash, exists := p.hashes[user]
	if !exists { // costs as much as a wrong password
		for _, hash = range p.hashes {
			break
		}
	}
	known, version := p.known[sum], p.stamp
	p.mu.Unlock()
	if known {
		return true
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-r.Context().Done():
		return false
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !exists {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stamp == version {
		p.known[sum] = true
	}
	return true
}
