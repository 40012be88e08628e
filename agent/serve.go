package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/berth-registry/berth/agent/status"
)

// listenRetry is the pause before the next attempt if the address is in use.
const listenRetry = 5 * time.Second

// serve serves the status page until ctx is done. If the address is in use, it tries again: a
// node is kept as the config says without a status page too.
func (a *Agent) serve(ctx context.Context) error {
	lastError := ""
	for {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.o.Listen)
		if err == nil {
			return a.serveOn(ctx, l)
		}
		if ctx.Err() != nil {
			return nil
		}
		if lastError != err.Error() {
			lastError = err.Error()
			a.log.ErrorContext(ctx, "status page cannot be served; retrying", "address", a.o.Listen, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}

func (a *Agent) serveOn(ctx context.Context, l net.Listener) error {
	// Every local user can connect, so a client's time and memory are bounded.
	server := &http.Server{
		Handler:           status.Handler(a.Snapshot, a.Alive),
		ReadHeaderTimeout: 3 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ConnState:         connState,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	server.SetKeepAlivesEnabled(false) // an idle connection would need a bound of its own
	a.log.InfoContext(ctx, "listening", "address", l.Addr().String())
	if a.o.listening != nil {
		a.o.listening(l.Addr().String())
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(newBoundedListener(l, maxConnections)) }()
	select {
	case err := <-done:
		return fmt.Errorf("status page: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		_ = server.Close() // clients that still read are cut off
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
