package startup

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricPrefix begins the name of every metric of this package.
const metricPrefix = "berth_startup_taint_"

// Reasons of removals.
const (
	reasonReady    = "ready"
	reasonFailOpen = "fail_open"
)

// Operations that fail.
const (
	operationFollow = "follow"
	operationRemove = "remove"
)

var (
	waitingDesc = prometheus.NewDesc(metricPrefix+"nodes_waiting", "Nodes that have the taint; absent until all nodes were read.", nil, nil)
	oldestDesc  = prometheus.NewDesc(metricPrefix+"oldest_node_timestamp_seconds", "When the oldest of these nodes was created; absent when there is none.", nil, nil)
)

// metrics are what the controller counts.
type metrics struct {
	removals, failures *prometheus.CounterVec
}

func newMetrics() metrics {
	counter := func(name, help, label string, values ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricPrefix + name, Help: help}, []string{label})
		for _, v := range values {
			c.WithLabelValues(v) // 0, so that the first one is an increase
		}
		return c
	}
	return metrics{
		removals: counter("removals_total", "Taints removed: because Berth's pod is ready, or because the limit has passed.", "reason", reasonReady, reasonFailOpen),
		failures: counter("errors_total", "Requests to the API server that failed and are tried again: to follow nodes and pods, or to remove a taint.", "operation", operationFollow, operationRemove),
	}
}

// waiting collects what is true at the time of a scrape.
type waiting struct{ *Controller }

// Describe implements [prometheus.Collector].
func (waiting) Describe(out chan<- *prometheus.Desc) {
	out <- waitingDesc
	out <- oldestDesc
}

// Collect implements [prometheus.Collector].
func (w waiting) Collect(out chan<- prometheus.Metric) {
	nodes, synced := w.nodes.Items()
	if !synced {
		return
	}
	count, oldest := 0, time.Time{}
	for _, n := range nodes {
		if _, found := n.without(w.o.Key); !found {
			continue
		}
		if created := n.Metadata.CreationTimestamp; count == 0 || created.Before(oldest) {
			oldest = created
		}
		count++
	}
	out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(count))
	if count > 0 {
		out <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, float64(oldest.Unix()))
	}
}

// registry returns all metrics of the process.
func (c *Controller) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(waiting{c}, c.metrics.removals, c.metrics.failures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}
