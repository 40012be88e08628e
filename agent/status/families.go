package status

import (
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// families lists every metric, without the prefix berth_.
func families() []family {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	one := func(read func(Snapshot) float64) func(Snapshot, add) {
		return func(s Snapshot, add add) { add(read(s)) }
	}
	return slices.Concat([]family{
		{name: "build_info", kind: gauge, labels: []string{"version", "goversion"},
			help: "Version of the agent and of Go; always 1.",
			read: func(s Snapshot, add add) { add(1, s.Version, runtime.Version()) }},
		{name: "ready", kind: gauge,
			help: "1 when the node is as the config wants it, as /readyz says.",
			read: one(func(s Snapshot) float64 { return boolValue(s.Ready.Ready) })},
		{name: "alarm", kind: gauge, labels: []string{"name", "severity"},
			help: "Current alarms of this name and severity.",
			read: alarmCounts},
		{name: "config_last_reload_successful", kind: gauge,
			help: "1 when the config on disk is in use, 0 when it is invalid.",
			read: one(func(s Snapshot) float64 { return boolValue(s.Config.OK) })},
		{name: "config_last_reload_success_timestamp_seconds", kind: gauge,
			help: "When this agent began to use its config, with the files that it names; " +
				"absent when it has read none.",
			read: func(s Snapshot, add add) { addTime(add, s.Config.Loaded) }},
		{name: "config_info", kind: gauge, labels: []string{"hash", "pool"},
			help: "Hash of the config in use, empty when there is none, and pool of the node; always 1.",
			read: func(s Snapshot, add add) { add(1, s.Config.Hash, s.Pool) }},
		{name: "config_upstreams", kind: gauge,
			help: "Upstreams that the config in use names.",
			read: one(func(s Snapshot) float64 { return float64(s.Config.Upstreams) })},
		{name: "converge_runs_total", kind: counter,
			help: "Reconcile runs.",
			read: one(func(s Snapshot) float64 { return float64(s.Converge.Runs) })},
		{name: "converge_failures_total", kind: counter,
			help: "Reconcile runs that failed.",
			read: one(func(s Snapshot) float64 { return float64(s.Converge.Failures) })},
		{name: "converge_last_success_timestamp_seconds", kind: gauge,
			help: "When a reconcile run last succeeded; absent before the first.",
			read: func(s Snapshot, add add) { addTime(add, s.Converge.LastSuccess) }},
		{name: "converge_duration_seconds", kind: gauge,
			help: "How long the last reconcile run took.",
			read: one(func(s Snapshot) float64 { return time.Duration(s.Converge.Duration).Seconds() })},
		{name: "inotify_active", kind: gauge,
			help: "1 when inotify reports file changes, 0 when a timer finds them.",
			read: one(func(s Snapshot) float64 { return boolValue(s.Converge.Watching == Inotify) })},
		{name: "managed_files", kind: gauge,
			help: "Files on this node that Berth manages.",
			read: one(func(s Snapshot) float64 { return float64(s.Files.Managed) })},
		{name: "file_conflicts", kind: gauge,
			help: "Foreign files at paths where Berth must write.",
			read: one(func(s Snapshot) float64 { return float64(len(s.Files.Conflicts)) })},
		{name: "file_writes_total", kind: counter,
			help: "Files written, repairs included.",
			read: one(func(s Snapshot) float64 { return float64(s.Files.Written) })},
		{name: "file_repairs_total", kind: counter,
			help: "Files restored after another program changed or removed them.",
			read: one(func(s Snapshot) float64 { return float64(s.Files.Repaired) })},
		{name: "file_removals_total", kind: counter,
			help: "Files removed because the config no longer asks for them.",
			read: one(func(s Snapshot) float64 { return float64(s.Files.Removed) })},
		{name: "dockerhub_pulls_limit", kind: gauge,
			help: "Pulls that Docker Hub allows in its window; absent when not known.",
			read: func(s Snapshot, add add) {
				if s.DockerHub.Known() {
					add(float64(s.DockerHub.Limit))
				}
			}},
		{name: "dockerhub_pulls_remaining", kind: gauge,
			help: "Pulls left in that window; absent when not known.",
			read: func(s Snapshot, add add) {
				if s.DockerHub.Known() {
					add(float64(s.DockerHub.Remaining))
				}
			}},
		{name: "registry_requests_per_hour", kind: gauge, labels: []string{"registry"},
			help: "Requests that this node sends to the registry to probe its login.",
			read: func(s Snapshot, add add) {
				seen := map[string]bool{}
				for _, e := range s.Registries {
					if !seen[e.URL] {
						seen[e.URL] = true
						add(e.RequestsPerHour, e.URL)
					}
				}
			}},
	}, mirrorFamilies(), tokenFamilies())
}

func mirrorFamilies() []family {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	labels := []string{"upstream", "endpoint"}
	each := func(read func(e Endpoint, add add)) func(Snapshot, add) {
		return func(s Snapshot, add add) {
			for _, m := range s.Mirrors {
				for _, e := range m.Endpoints {
					read(e, func(value float64, more ...string) {
						add(value, append([]string{m.Upstream, e.URL}, more...)...)
					})
				}
			}
		}
	}
	return []family{
		{name: "mirror_up", kind: gauge, labels: labels,
			help: "1 when the mirror answers, 0 when it is down; absent while not known.",
			read: each(func(e Endpoint, add add) {
				if e.State == Up || e.State == Down {
					add(boolValue(e.State == Up))
				}
			})},
		{name: "mirror_withdrawn", kind: gauge, labels: labels,
			help: "1 when the mirror is left out of hosts.toml.",
			read: each(func(e Endpoint, add add) { add(boolValue(e.Withdrawn)) })},
		{name: "mirror_probe_duration_seconds", kind: gauge, labels: labels,
			help: "How long the last probe took; absent before the first.",
			read: each(func(e Endpoint, add add) {
				if !e.LastProbe.IsZero() {
					add(time.Duration(e.ProbeDuration).Seconds())
				}
			})},
		{name: "mirror_last_probe_timestamp_seconds", kind: gauge, labels: labels,
			help: "When the mirror was last probed; absent before the first time.",
			read: each(func(e Endpoint, add add) { addTime(add, e.LastProbe) })},
		{name: "mirror_probes_total", kind: counter, labels: labels,
			help: "Probes of the mirror.",
			read: each(func(e Endpoint, add add) { add(float64(e.Probes)) })},
		{name: "mirror_probe_failures_total", kind: counter, labels: append(slices.Clone(labels), "reason"),
			help: "Probes that failed, by reason.",
			read: each(func(e Endpoint, add add) { reasons(nonzero(e.Failures), add) })},
		{name: "mirror_requests_per_hour", kind: gauge, labels: labels,
			help: "Requests that this node sends to the registry of the mirror to probe it.",
			read: each(func(e Endpoint, add add) { add(e.RequestsPerHour) })},
	}
}

func tokenFamilies() []family {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	labels := []string{"service", "region", "identity"}
	each := func(read func(t Token, add add)) func(Snapshot, add) {
		return func(s Snapshot, add add) {
			for _, t := range s.Tokens {
				read(t, func(value float64, more ...string) {
					add(value, append([]string{t.Service, t.Region, t.Identity}, more...)...)
				})
			}
		}
	}
	return []family{
		{name: "ecr_token_valid", kind: gauge, labels: labels,
			help: "1 when there is an ECR token or credential helper login that can be used.",
			read: each(func(t Token, add add) { add(boolValue(t.Valid)) })},
		{name: "ecr_token_expiry_timestamp_seconds", kind: gauge, labels: append(slices.Clone(labels), "source"),
			help: "When the token expires; absent when there was none yet.",
			read: each(func(t Token, add add) {
				addTime(func(value float64, _ ...string) { add(value, t.Source) }, t.Expires)
			})},
		{name: "ecr_token_next_renewal_timestamp_seconds", kind: gauge, labels: labels,
			help: "When the token is renewed next.",
			read: each(func(t Token, add add) { addTime(add, t.NextRenewal) })},
		{name: "ecr_token_renewals_total", kind: counter, labels: labels,
			help: "Tokens received, the first included.",
			read: each(func(t Token, add add) { add(float64(t.Renewals)) })},
		{name: "ecr_token_renewal_failures_total", kind: counter, labels: append(slices.Clone(labels), "reason"),
			help: "Renewals that failed, by reason.",
			read: each(func(t Token, add add) { reasons(t.Failures, add) })},
	}
}

// alarmCounts adds a value for every name and severity that is possible, so that an alert can be
// tested before it fires.
func alarmCounts(s Snapshot, add add) {
	type key struct {
		name     string
		severity Severity
	}
	count := map[key]int{}
	for _, a := range s.Alarms {
		count[key{a.Name, a.Severity}]++
	}
	for _, k := range Kinds() {
		for _, severity := range k.Severities {
			add(float64(count[key{k.Name, severity}]), k.Name, string(severity))
		}
	}
}

// nonzero removes zero counters: there are many endpoints on many nodes, and each reason would be
// one more series for each.
func nonzero(failures map[string]uint64) map[string]uint64 {
	some := map[string]uint64{}
	for reason, n := range failures {
		if n > 0 {
			some[reason] = n
		}
	}
	return some
}

// maxReasons limits the reasons of one counter. An error message that gets there by mistake must
// not create new series.
const maxReasons = 20

func reasons(failures map[string]uint64, add add) {
	var other uint64
	given := 0
	for _, reason := range slices.Sorted(maps.Keys(failures)) {
		if reason == otherReason || given == maxReasons || !isReason(reason) {
			other += failures[reason]
			continue
		}
		given++
		add(float64(failures[reason]), reason)
	}
	if other > 0 {
		add(float64(other), otherReason)
	}
}

const otherReason = "other"

// isReason reports whether s is a short word such as http_5xx, not a message.
func isReason(s string) bool {
	for i, r := range s {
		if (r < 'a' || r > 'z') && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// addTime adds a time as Unix seconds, unless it is zero.
func addTime(add add, t time.Time) {
	if !t.IsZero() {
		add(float64(t.UnixMilli()) / 1000)
	}
}
