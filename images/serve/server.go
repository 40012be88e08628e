package serve

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server whose clients cannot hold it up: headers and idle connections are
// limited. The time of an answer is not, because a layer may have gigabytes.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
