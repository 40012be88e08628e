package status_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// series returns the samples of Berth's own metrics by name and labels.
func series(t *testing.T, s status.Snapshot) map[string]string {
	t.Helper()
	resp, body := serve(t, s, "GET", "/metrics")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	got := map[string]string{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "berth_") {
			at := strings.LastIndex(line, " ")
			got[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	s := statustest.Rich()
	s.Mirrors = append(s.Mirrors, s.Mirrors[3]) // one more whose fallback is the upstream
	s.Mirrors[4].Upstream = "gcr.io"
	got := series(t, s)
	const (
		harbor = `{endpoint="https://harbor.corp:8443/v2/hub",upstream="docker.io"}`
		denied = `{identity="profile",region="eu-west-1",service="ecr"}`
	)
	for name, want := range map[string]string{
		"berth_ready": "0",
		`berth_alarm{name="AllMirrorsDown",severity="critical"}`:        "1",
		`berth_alarm{name="AllMirrorsDown",severity="warning"}`:         "2",
		`berth_alarm{name="NodeRestored",severity="warning"}`:           "0",
		`berth_alarm{name="NodeRestored",severity="critical"}`:          "absent",
		"berth_config_last_reload_successful":                           "0",
		"berth_config_last_reload_success_timestamp_seconds":            "1.773407366e+09",
		`berth_config_info{hash="3f5a9c01d2e4",pool="gpu"}`:             "1",
		"berth_config_upstreams":                                        "3",
		"berth_converge_runs_total":                                     "9123",
		"berth_converge_failures_total":                                 "3",
		"berth_converge_last_success_timestamp_seconds":                 "1.773500905e+09",
		"berth_converge_duration_seconds":                               "0.003",
		"berth_inotify_active":                                          "0",
		"berth_managed_files":                                           "4",
		"berth_file_conflicts":                                          "2",
		"berth_file_writes_total":                                       "29",
		"berth_file_repairs_total":                                      "12",
		"berth_file_removals_total":                                     "1",
		"berth_dockerhub_pulls_limit":                                   "100",
		"berth_dockerhub_pulls_remaining":                               "4",
		"berth_mirror_up" + harbor:                                      "0",
		"berth_mirror_withdrawn" + harbor:                               "1",
		"berth_mirror_probe_duration_seconds" + harbor:                  "0.012",
		"berth_mirror_last_probe_timestamp_seconds" + harbor:            "1.773500959e+09",
		"berth_mirror_probes_total" + harbor:                            "17990",
		"berth_mirror_requests_per_hour" + harbor:                       "240",
		"berth_ecr_token_valid" + denied:                                "1",
		"berth_ecr_token_next_renewal_timestamp_seconds" + denied:       "1.773501146e+09",
		"berth_ecr_token_renewals_total" + denied:                       "9",
		`berth_mirror_up{endpoint="http://10.0.0.7:5000",upstream="*"}`: "absent",
		`berth_mirror_probe_failures_total{endpoint="https://harbor.corp:8443/v2/hub",reason="timeout",upstream="docker.io"}`:     "44",
		`berth_mirror_probe_failures_total{endpoint="https://harbor.corp:8443/v2/hub",reason="dial",upstream="docker.io"}`:        "absent",
		`berth_ecr_token_expiry_timestamp_seconds{identity="profile",region="eu-west-1",service="ecr",source="instance profile"}`: "1.773518966e+09",
		`berth_ecr_token_expiry_timestamp_seconds{identity="k1b2c3d4e5",region="ap-southeast-2",service="ecr",source=""}`:         "absent",
		`berth_ecr_token_renewal_failures_total{identity="profile",reason="access_denied",region="eu-west-1",service="ecr"}`:      "14",
		`berth_ecr_token_renewal_failures_total{identity="profile",reason="access_denied",region="us-east-1",service="ecr"}`:      "0",
	} {
		value, ok := got[name]
		if !ok {
			value = "absent"
		}
		if value != want {
			t.Errorf("%s is %s, want %s", name, value, want)
		}
	}
	healthy := series(t, statustest.Healthy())
	for _, name := range []string{"berth_ready", "berth_config_last_reload_successful", "berth_inotify_active"} {
		if healthy[name] != "1" {
			t.Errorf("%s of a healthy agent: %q", name, healthy[name])
		}
	}
	if value := series(t, status.Snapshot{})[`berth_config_info{hash="",pool=""}`]; value != "1" {
		t.Errorf("without a config: berth_config_info is %q", value)
	}
	waiting := series(t, statustest.Waiting())
	for _, name := range []string{"berth_dockerhub_pulls_limit", "berth_config_last_reload_success_timestamp_seconds", "berth_converge_last_success_timestamp_seconds"} {
		if value, ok := waiting[name]; ok {
			t.Errorf("%s is %s, want none", name, value)
		}
	}
}

// A snapshot of everything has every metric.
func TestMetricsList(t *testing.T) {
	found := map[string]bool{}
	for name := range series(t, statustest.Rich()) {
		name, _, _ = strings.Cut(name, "{")
		found[name] = true
	}
	if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(slices.Values(status.Metrics())); !slices.Equal(got, want) {
		t.Errorf("scraped %q\nlisted %q", got, want)
	}
}

func TestLint(t *testing.T) {
	for name, s := range snapshots() {
		resp, body := serve(t, s, "GET", "/metrics")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s\n%s", name, resp.Status, body)
			continue
		}
		problems, err := promlint.New(strings.NewReader(body)).Lint()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
		}
		for _, want := range []string{"\nprocess_resident_memory_bytes ", "\ngo_goroutines "} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
	problems, err := promlint.New(strings.NewReader("# TYPE x counter\nx 1\n")).Lint()
	if err != nil || len(problems) == 0 {
		t.Errorf("the linter finds nothing: %v", err)
	}
}

// Texts from other programs create no new series and no failure.
func TestMetricsBounded(t *testing.T) {
	s := statustest.Healthy()
	e := &s.Mirrors[0].Endpoints[0]
	e.Failures = map[string]uint64{"timeout": 7, "other": 5}
	for i := range 1000 {
		e.Failures[fmt.Sprintf("dial tcp 10.0.0.1:%d: refused", i)] = 1
		e.Failures[fmt.Sprintf("z%d", i)] = 1
	}
	s.Mirrors[0].Endpoints = append(s.Mirrors[0].Endpoints, *e, *e)
	s.Tokens = append(s.Tokens, s.Tokens...)
	reasons, other := 0, ""
	for name, value := range series(t, s) {
		if strings.HasPrefix(name, "berth_mirror_probe_failures_total{") && strings.Contains(name, e.URL) {
			reasons++
			if !regexp.MustCompile(`reason="(timeout|other|z\d+)"`).MatchString(name) {
				t.Errorf("series %s", name)
			}
			if strings.Contains(name, `reason="other"`) {
				other = value
			}
		}
	}
	// 1000 are no reasons, 981 are above the limit of twenty, and 5 were "other".
	if reasons != 21 || other != "1986" {
		t.Errorf("%d series, %s of other reasons", reasons, other)
	}
}

func TestOpenMetrics(t *testing.T) {
	s := statustest.Rich()
	h := status.Handler(func() status.Snapshot { return s }, nil)
	resp, body := ask(t, h, "GET", "/metrics", http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text;") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("%s: %q", resp.Header.Get("Content-Type"), body[max(0, len(body)-40):])
	}
	if !strings.Contains(body, "# TYPE berth_converge_runs counter\n") {
		t.Error("counters are not in OpenMetrics form")
	}
}
