package reconcile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-registry/berth/config"
)

// sizes are numbers of upstreams; each has three endpoints.
var sizes = []int{10, 100, 1000, 10000}

func manyUpstreams(n int) *config.Config {
	cfg := config.Default()
	for i := range n {
		m := config.Mirror{Upstream: fmt.Sprintf("registry-%05d.example", i), UpstreamFallback: true}
		for e := range 3 {
			m.Endpoints = append(m.Endpoints, config.DefaultEndpoint(fmt.Sprintf("https://mirror-%d.corp/cache-%05d", e, i)))
		}
		cfg.Mirrors = append(cfg.Mirrors, m)
	}
	return cfg
}

func mustApply(b *testing.B, root string, cfg *config.Config, changed int) {
	b.Helper()
	m, err := Open(root)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	result, err := m.Apply(context.Background(), cfg, nil)
	if err != nil {
		b.Fatal(err)
	}
	if got := len(result.Summary().Changes); got != changed {
		b.Fatalf("%d changes, want %d", got, changed)
	}
}

// BenchmarkApplyFromNothing plans and writes everything. The floor writes the
// same bytes to as many files and syncs each, with no rename, no record, no
// reading back.
func BenchmarkApplyFromNothing(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("upstreams=%d/berth", n), func(b *testing.B) {
			cfg := manyUpstreams(n)
			for b.Loop() {
				mustApply(b, b.TempDir(), cfg, n)
			}
			perUpstream(b, n)
		})
		b.Run(fmt.Sprintf("upstreams=%d/floor", n), func(b *testing.B) {
			body := make([]byte, 700)
			for b.Loop() {
				dir := b.TempDir()
				for i := range n {
					writeSynced(b, filepath.Join(dir, fmt.Sprint(i)), body)
				}
			}
			perUpstream(b, n)
		})
	}
}

// BenchmarkApplyNothingToDo plans and finds everything as it should be. The
// floor reads each file.
func BenchmarkApplyNothingToDo(b *testing.B) {
	for _, n := range sizes {
		cfg := manyUpstreams(n)
		root := b.TempDir()
		mustApply(b, root, cfg, n)
		b.Run(fmt.Sprintf("upstreams=%d/berth", n), func(b *testing.B) {
			for b.Loop() {
				mustApply(b, root, cfg, 0)
			}
			perUpstream(b, n)
		})
		b.Run(fmt.Sprintf("upstreams=%d/floor", n), func(b *testing.B) {
			for b.Loop() {
				files, err := filepath.Glob(filepath.Join(root, "etc/containerd/certs.d/*/hosts.toml"))
				if err != nil || len(files) != n {
					b.Fatal(len(files), err)
				}
				for _, f := range files {
					if _, err := os.ReadFile(f); err != nil {
						b.Fatal(err)
					}
				}
			}
			perUpstream(b, n)
		})
	}
}

// BenchmarkApplyOneChange changes one endpoint of one upstream, to and fro.
func BenchmarkApplyOneChange(b *testing.B) {
	for _, n := range sizes {
		cfg := manyUpstreams(n)
		other := manyUpstreams(n)
		other.Mirrors[n/2].Endpoints[0].URL = "https://other.corp"
		root := b.TempDir()
		mustApply(b, root, cfg, n)
		b.Run(fmt.Sprintf("upstreams=%d", n), func(b *testing.B) {
			for b.Loop() {
				mustApply(b, root, other, 1)
				cfg, other = other, cfg
			}
			perUpstream(b, n)
		})
	}
}

func perUpstream(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/upstream")
}

func writeSynced(b *testing.B, name string, body []byte) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.Write(body); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
