package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/nodetest"
)

// BenchmarkTurn is one pass of the agent with 1,000 upstreams of three endpoints each: nothing
// to do, and one upstream changed in the config.
func BenchmarkTurn(b *testing.B) {
	b.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	const upstreams = 1000
	config := func(generation int) []byte {
		var c strings.Builder
		c.WriteString(nodetest.Head + "health: {mode: \"off\"}\nmirrors:\n")
		for i := range upstreams {
			g := 0
			if i == 7 {
				g = generation
			}
			fmt.Fprintf(&c, "- upstream: r%d.corp\n  endpoints:\n", i)
			for _, host := range []string{fmt.Sprintf("m%d.corp", g), "second.corp", "third.corp"} {
				fmt.Fprintf(&c, "  - url: https://%s/r%d.corp\n", host, i)
			}
		}
		return []byte(c.String())
	}
	for _, change := range []bool{false, true} {
		b.Run(map[bool]string{false: "NothingToDo", true: "OneChange"}[change], func(b *testing.B) {
			dir := b.TempDir()
			file := filepath.Join(dir, "config.yaml")
			write := func(generation int) {
				if err := os.WriteFile(file, config(generation), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			m, err := reconcile.Open(filepath.Join(dir, "root"))
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			a := New(m, Options{ConfigPath: file, Log: slog.New(slog.DiscardHandler), watchUnavailable: true})
			write(0)
			a.reconcileOnce(b.Context())
			if a.state.snapshot.Converge.Error != "" || a.state.snapshot.Files.Managed != upstreams+1 {
				b.Fatalf("%+v", a.state.snapshot)
			}
			generation := 0
			for b.Loop() {
				if change {
					b.StopTimer()
					generation++
					write(generation)
					b.StartTimer()
				}
				a.reconcileOnce(b.Context())
			}
		})
	}
}
