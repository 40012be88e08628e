package status

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes limits how many scrapes are answered at the same time; a node may have two Prometheus
// servers.
const maxScrapes = 4

// metricsHandler serves the metrics of the snapshot and of the process, from a registry of its own.
func metricsHandler(get func() Snapshot) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(get),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	})
}

// collector converts one snapshot to metrics at each scrape. Labels come from the config, from
// token names and from [reasons], never from an error.
type collector struct {
	get      func() Snapshot
	families []family
}

// family is one metric and the function that reads it from a snapshot.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
	read       func(Snapshot, add)
}

// add is called for each value of a family, with the values of its labels in order.
type add func(value float64, labels ...string)

func newCollector(get func() Snapshot) *collector {
	c := &collector{get: get}
	for _, f := range families() {
		f.name = "berth_" + f.name
		f.desc = prometheus.NewDesc(f.name, f.help, f.labels, nil)
		c.families = append(c.families, f)
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.get()
	for _, f := range c.families {
		// An endpoint listed twice in the config, or two registries of one region, must not fail
		// the scrape.
		seen := map[string]bool{}
		f.read(s, func(value float64, labels ...string) {
			key := strings.Join(labels, "\x00")
			if seen[key] {
				return
			}
			seen[key] = true
			m, err := prometheus.NewConstMetric(f.desc, f.kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(f.desc, err)
			}
			out <- m
		})
	}
}
