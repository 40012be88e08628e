package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/helper"
	"github.com/berth-registry/berth/internal/redact"
)

// helperPlaceholder replaces a login that apply would get.
var helperPlaceholder = redact.New("(berth apply asks the credential helper here)")

// Helpers asks credential helpers for a node. Its programs are those of this process's own file
// system, also if the node is below another root.
type Helpers struct {
	Node   *Node
	Runner helper.Runner
}

// Stored returns the stored answer if it can be used.
func (h Helpers) Stored(s credprovider.HelperSource) (credprovider.HelperLogin, bool) {
	all, _ := h.Node.readHelperLogins() // a file that cannot be read is written again
	return all.Usable(s, time.Now())
}

// Ask runs the program.
func (h Helpers) Ask(ctx context.Context, s credprovider.HelperSource) (credprovider.HelperLogin, error) {
	return h.Runner.Ask(ctx, s)
}

func (n *Node) readHelperLogins() (credprovider.HelperLogins, error) {
	dir, err := n.Root.Resolve(StateDir)
	if err != nil {
		return nil, err
	}
	return credprovider.ReadHelperLogins(filepath.Clean(dir))
}

// HelperError names a registry whose credential helper gave no login; its hosts.toml has no header.
type HelperError struct {
	Registry string
	Err      error
}

// Error names the registry, the effect and the cause.
func (e *HelperError) Error() string {
	return fmt.Sprintf("%s: no login, so its hosts.toml has none: %v", e.Registry, e.Err)
}

// Unwrap returns the cause.
func (e *HelperError) Unwrap() error { return e.Err }

// HelperLogins returns the stored answers that can be used, and runs the helpers of the others, all
// at the same time. errs has a reason for each login that is missing.
func (n *Node) HelperLogins(ctx context.Context, cfg *config.Config) (logins credprovider.HelperLogins, errs map[string]error) {
	logins, missing := n.storedHelperLogins(cfg)
	errs = map[string]error{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, s := range missing {
		asking.Go(func() {
			l, err := Helpers{Node: n}.Ask(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs[s.Registry] = err
				return
			}
			logins[s.Registry] = l
		})
	}
	asking.Wait()
	return logins, errs
}

// storedHelperLogins returns the stored answers that can be used, and the sources of the others.
func (n *Node) storedHelperLogins(cfg *config.Config) (credprovider.HelperLogins, []credprovider.HelperSource) {
	logins := credprovider.HelperLogins{}
	sources := cfg.Helpers()
	if len(sources) == 0 {
		return logins, nil
	}
	stored, _ := n.readHelperLogins()
	var missing []credprovider.HelperSource
	for _, s := range sources {
		if l, ok := stored.Usable(s, time.Now()); ok {
			logins[s.Registry] = l
		} else {
			missing = append(missing, s)
		}
	}
	return logins, missing
}

// SaveHelperLogins stores the answers of the config's credential helpers, and keeps those that are
// stored and newer. The caller holds the node's lock. If they cannot be written, a file with other
// answers is removed, which needs no space: it may hold a login that has ended.
func (n *Node) SaveHelperLogins(cfg *config.Config, have credprovider.HelperLogins) error {
	name := path.Join(StateDir, credprovider.HelperLoginsFile)
	stored, unreadable := n.readHelperLogins()
	keep := credprovider.HelperLogins{}
	for _, s := range cfg.Helpers() {
		l, ok := have[s.Registry]
		ok = ok && l.Program == s.Program
		if other, usable := stored.Usable(s, time.Now()); usable && (!ok || other.Issued.After(l.Issued)) {
			l, ok = other, true
		}
		if ok {
			keep[s.Registry] = l
		}
	}
	if len(keep) == 0 {
		return n.removeHelperLogins()
	}
	body, err := keep.Encode()
	if err != nil {
		return err
	}
	if now, err := n.Root.ReadFile(name); err == nil && unreadable == nil && bytes.Equal(now, body) {
		return nil
	}
	if err := n.Store.WritePrivate(credprovider.HelperLoginsFile, body); err != nil {
		return errors.Join(err, n.removeHelperLogins())
	}
	return nil
}

func (n *Node) removeHelperLogins() error {
	dir, err := n.Root.Resolve(StateDir)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, credprovider.HelperLoginsFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// placeholders stand for the answers that apply would get.
func placeholders(sources []credprovider.HelperSource, to credprovider.HelperLogins) {
	for _, s := range sources {
		to[s.Registry] = credprovider.HelperLogin{Registry: s.Registry, Program: s.Program, Username: "-", Password: helperPlaceholder}
	}
}
