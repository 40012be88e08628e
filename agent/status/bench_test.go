package status_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// BenchmarkScrape measures the cost of a scrape.
func BenchmarkScrape(b *testing.B) {
	for _, upstreams := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(upstreams), func(b *testing.B) {
			s := statustest.Large(upstreams)
			h := status.Handler(func() status.Snapshot { return s }, nil)
			r := httptest.NewRequestWithContext(b.Context(), "GET", "/metrics", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
