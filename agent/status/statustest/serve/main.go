// Command serve shows the agent's page for made-up snapshots in a browser: go run
// ./agent/status/statustest/serve
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9475", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve prints one URL per line, then answers until ctx is done.
func serve(ctx context.Context, address string) error {
	snapshots := map[string]status.Snapshot{
		"empty": {}, "healthy": statustest.Healthy(), "hostile": statustest.Hostile(),
		"large": statustest.Large(100), "rich": statustest.Rich(), "waiting": statustest.Waiting(),
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for name, s := range snapshots {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, status.Handler(func() status.Snapshot { return s }, nil)))
		fmt.Printf("http://%s/%s/\n", l.Addr(), name)
	}
	fmt.Println("ready")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
