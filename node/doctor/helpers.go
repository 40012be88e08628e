package doctor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/helper"
)

// helpers checks each credential helper of the config: whether its program may be started, and
// whether there is a login. A helper without a stored login is asked.
func (e *examination) helpers(ctx context.Context) {
	const name = "credential-helpers"
	if e.Config == nil {
		return
	}
	var stored credprovider.HelperLogins
	if dir, err := e.Machine.Root.Resolve("/var/lib/berth"); err == nil {
		stored, _ = credprovider.ReadHelperLogins(dir)
	}
	now := e.Now
	if now == nil {
		now = time.Now
	}
	for _, s := range e.Config.Helpers() {
		path, err := helper.Find(s.Program, os.Environ())
		if err != nil {
			e.add(name, Fail, s.Registry+": "+err.Error(), "")
			continue
		}
		if l, ok := stored.Usable(s, now()); ok {
			e.add(name, OK, fmt.Sprintf("%s: a login by %s, until %s", s.Registry, path, l.UsableUntil(s.MaxStale).UTC().Format(time.RFC3339)), "")
			continue
		}
		if _, err := (helper.Runner{Now: e.Now}).Ask(ctx, s); err != nil {
			e.add(name, Fail, s.Registry+": "+err.Error(), "")
			continue
		}
		e.add(name, Warn, s.Registry+": its helper answers, and no login is stored", "is the agent running? or run: berth apply")
	}
}
