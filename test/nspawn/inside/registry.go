package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const address = "127.0.0.1:5000"

// served returns the repositories, each with one image: containerd would not ask again for an image
// that it has.
func served() []string {
	return strings.Fields("control wired boot upgraded kept removed again after busybox loaded swarm")
}

// serve runs the registry until ctx is done. It notifies systemd when all images are there.
func serve(ctx context.Context, record string) error {
	file, err := os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           noting(file, registry.New(registry.Logger(log.New(io.Discard, "", 0)))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	for _, repository := range served() {
		if err := put(ctx, repository); err != nil {
			return err
		}
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// put makes an image of random bytes.
func put(ctx context.Context, repository string) error {
	image, err := random.Image(1024, 1)
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH // berth images load compares them
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	for _, tag := range []string{"v1", "latest"} {
		ref, err := name.ParseReference(address + "/library/" + repository + ":" + tag)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// noting records each request that names the registry for which this one is a mirror, as
// containerd's requests do.
func noting(w io.Writer, next http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if ns := r.URL.Query().Get("ns"); ns != "" {
			mu.Lock()
			fmt.Fprintf(w, "%s %s %s\n", ns, r.Method, r.URL.Path)
			mu.Unlock()
		}
		next.ServeHTTP(rw, r)
	})
}
