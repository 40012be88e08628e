package main

import (
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// agentat healthy|rich|waiting|hostile starts a fake agent in that state at $ADDRESS; agentat
// stranger|moved starts another program.
func agentat(ts *testscript.TestScript, neg bool, args []string) {
	snapshots := map[string]func() status.Snapshot{
		"healthy": statustest.Healthy, "rich": statustest.Rich, "waiting": statustest.Waiting, "hostile": statustest.Hostile,
	}
	others := map[string]http.HandlerFunc{
		"stranger": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"success"}`)) },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/", http.StatusFound)
		},
	}
	if neg || len(args) != 1 || snapshots[args[0]] == nil && others[args[0]] == nil {
		ts.Fatalf("usage: agentat healthy|rich|waiting|hostile|stranger|moved")
	}
	var handler http.Handler = others[args[0]]
	if get := snapshots[args[0]]; get != nil {
		handler = status.Handler(get, nil)
	}
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	ts.Setenv("ADDRESS", strings.TrimPrefix(server.URL, "http://"))
}
