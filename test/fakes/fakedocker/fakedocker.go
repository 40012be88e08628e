// Package fakedocker is the part of Docker Engine's API that says how the engine is set: GET
// /version and GET /info on a Unix socket.
//
// Start at [Start].
package fakedocker

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Info is what the engine says about itself.
type Info struct {
	Version, APIVersion string
	// GraphDriver is true for the image store of earlier releases.
	GraphDriver bool
	// Mirrors are registry-mirrors, and Insecure insecure-registries that are no networks.
	Mirrors, Insecure []string
	Networks          []string // insecure-registries that are networks
	Rootless          bool
	Containers        int // that run
	LiveRestore       bool
	Podman            bool // Podman's API, which its package podman-docker puts in Docker's place
}

// Engine is a running fake.
type Engine struct {
	t      testing.TB
	socket string
	server *http.Server

	mu       sync.Mutex
	info     Info
	requests int
}

// Start serves info at socket, whose directory is made, until the test ends.
func Start(t testing.TB, socket string, info Info) *Engine {
	t.Helper()
	e := &Engine{t: t, socket: socket, info: info}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	e.Resume()
	t.Cleanup(e.Stop)
	return e
}

// Set changes what the engine says.
func (e *Engine) Set(info Info) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.info = info
}

// Requests is the number of requests so far.
func (e *Engine) Requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

// Stop closes the socket, as a stopped engine does.
func (e *Engine) Stop() { e.server.Close() }

// Resume serves again after Stop.
func (e *Engine) Resume() {
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		e.t.Fatal(err)
	}
	e.server = &http.Server{Handler: http.HandlerFunc(e.answer)}
	server := e.server
	go func() { _ = server.Serve(l) }() // ends with Stop
}

func (e *Engine) answer(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	i := e.info
	var answer map[string]any
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "only GET is expected", http.StatusMethodNotAllowed)
		return
	case r.URL.Path == "/version":
		component := "Engine"
		if i.Podman {
			component = "Podman Engine"
		}
		answer = map[string]any{
			"Version": i.Version, "ApiVersion": i.APIVersion, "Os": "linux", "Components": []any{map[string]any{"Name": component}},
		}
	case r.URL.Path == "/info":
		status := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
		if i.GraphDriver {
			status = [][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}}
		}
		indexes := map[string]any{"docker.io": map[string]any{"Name": "docker.io", "Secure": true}}
		for _, name := range i.Insecure {
			indexes[name] = map[string]any{"Name": name, "Secure": false}
		}
		options := []string{"name=seccomp,profile=builtin"}
		if i.Rootless {
			options = append(options, "name=rootless")
		}
		answer = map[string]any{
			"ServerVersion": i.Version, "DriverStatus": status, "SecurityOptions": options,
			"ContainersRunning": i.Containers, "LiveRestoreEnabled": i.LiveRestore,
			"RegistryConfig": map[string]any{
				"Mirrors": i.Mirrors, "IndexConfigs": indexes,
				"InsecureRegistryCIDRs": append([]string{"::1/128", "127.0.0.0/8"}, i.Networks...),
			},
		}
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}
