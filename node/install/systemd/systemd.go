// Package systemd asks the systemd of a node to restart services, over D-Bus.
//
// Start reading at [Dial].
package systemd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/berth-registry/berth/internal/nodefs"
)

// State is the state of a service.
type State struct {
	// Active is the state in the words of systemd: "active", "activating", "failed", "inactive".
	Active string
	// Invocation changes each time the service is started.
	Invocation string
}

// jobTimeout limits a restart: a service has 90 s to stop before it is killed, and then has to
// start.
const jobTimeout = 3 * time.Minute

// Conn is the systemd of a node, over D-Bus.
type Conn struct{ conn *systemd.Conn }

// ErrNotRunning is returned by [Dial] if no systemd runs.
var ErrNotRunning = errors.New("no systemd runs here")

// Dial connects to the systemd whose sockets are below the root: its private one, or the
// system bus. The connection ends with ctx.
func Dial(ctx context.Context, root *nodefs.Root) (*Conn, error) {
	// The check of sd_booted(3).
	if _, err := root.Lstat("/run/systemd/system"); err != nil {
		return nil, ErrNotRunning
	}
	var errs []error
	for _, socket := range []struct {
		path string
		bus  bool
	}{{"/run/systemd/private", false}, {"/run/dbus/system_bus_socket", true}} {
		file, err := root.Resolve(socket.path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		conn, err := systemd.NewConnection(func() (*dbus.Conn, error) { return dial(ctx, file, socket.bus) })
		if err == nil {
			return &Conn{conn}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", file, err))
	}
	if len(errs) == 0 {
		return nil, ErrNotRunning
	}
	return nil, errors.Join(errs...)
}

func dial(ctx context.Context, socket string, bus bool) (*dbus.Conn, error) {
	conn, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil && bus {
		err = conn.Hello()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Close ends the connection.
func (s *Conn) Close() error {
	s.conn.Close()
	return nil
}

// Reload makes systemd reload its unit files.
func (s *Conn) Reload(ctx context.Context) error {
	if err := s.conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("systemd: reload: %w", err)
	}
	return nil
}

// Restart restarts a service and waits for the job, for at most three minutes.
func (s *Conn) Restart(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	// systemd does not start a service that failed several times in a row before it is reset. The
	// error for a service that did not fail does not matter.
	_ = s.conn.ResetFailedUnitContext(ctx, unit)
	done := make(chan string, 1)
	if _, err := s.conn.RestartUnitContext(ctx, unit, "replace", done); err != nil {
		return fmt.Errorf("systemd: restart of %s: %w", unit, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd: restart of %s: the job ended with %q; see journalctl -u %s", unit, result, unit)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("systemd: restart of %s: %w", unit, ctx.Err())
	}
}

// State returns the state of a service.
func (s *Conn) State(ctx context.Context, unit string) (State, error) {
	all, err := s.conn.GetUnitPropertiesContext(ctx, unit)
	if err != nil {
		return State{}, fmt.Errorf("systemd: state of %s: %w", unit, err)
	}
	var state State
	state.Active, _ = all["ActiveState"].(string)
	if id, ok := all["InvocationID"].([]byte); ok {
		state.Invocation = hex.EncodeToString(id)
	}
	return state, nil
}
