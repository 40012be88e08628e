package chart

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// The fleet: 500 nodes that Prometheus has scraped each minute, in three zones and three pools, one
// of which has no name.
const (
	fleetNodes = 500
	scrapes    = 5
)

// fleetNode returns the snapshot of a node at a scrape. What differs between nodes is in the
// expectations of TestPanels.
func fleetNode(i, scrape int) status.Snapshot {
	s := statustest.Healthy()
	s.Time = fleetTime(scrape)
	n := uint64(scrape)
	s.Converge.Runs, s.Files.Written, s.Files.Repaired, s.Files.Removed = 100+n, 10+n, n, n
	s.Registries = []status.Endpoint{{URL: "https://harbor.corp:8443", RequestsPerHour: 4}}
	s.Tokens[0].Renewals = n
	s.Tokens[0].Failures = map[string]uint64{"temporary": n}
	switch {
	case i < 100:
		s.Pool, s.Config.Hash = "gpu", "9c81d7f0e2aa"
	case i < 150:
		s.Pool, s.Config.Hash = "arm", "9c81d7f0e2aa"
	}
	switch {
	case i < 7:
		s.Config.Hash = "000000000001"
	case i >= 200 && i < 205:
		s.Ready.Ready, s.Converge.Error, s.Converge.Failures = false, "no space left on device", n
	case i >= 300 && i < 304:
		s.Ready.Ready, s.Config.OK, s.Config.Stale = false, false, true
	case i >= 400 && i < 403:
		s.Tokens[0].Valid, s.Tokens[0].Error = false, "access denied"
	case i >= 403 && i < 405:
		s.Tokens[0].Error, s.Tokens[0].FailingSince = "access denied", s.Time.Add(-time.Hour)
	case i >= 450 && i < 456:
		s.Files.Conflicts = []status.FileNote{{Path: "/etc/containerd/certs.d/quay.io/hosts.toml", Reason: "foreign"}}
	}
	if zoneOf(i) == "zone-a" {
		e := &s.Mirrors[0].Endpoints[1]
		e.State, e.Error, e.Withdrawn, e.Failures = status.Down, "timeout", true, map[string]uint64{"timeout": n}
	}
	return s
}

func zoneOf(i int) string { return "zone-" + string(rune('a'+i%3)) }

func fleetTime(scrape int) time.Time {
	return statustest.Now().Add(time.Duration(scrape-scrapes+1) * time.Minute)
}

// writeFleet writes the metrics of the fleet as the agents give them, with the labels that the
// PodMonitor adds, in the format that promtool reads.
func writeFleet(t *testing.T, file string) {
	t.Helper()
	used := map[string]bool{"up": true}
	name := regexp.MustCompile(`\b(?:berth|process)_[a-z_0-9]+`)
	for _, expr := range expressions(t) {
		for _, m := range name.FindAllString(expr, -1) {
			used[m] = true
		}
	}
	var out bytes.Buffer
	for scrape := range scrapes {
		for i := range fleetNodes {
			snapshot := fleetNode(i, scrape)
			answer := httptest.NewRecorder()
			status.Handler(func() status.Snapshot { return snapshot }, nil).
				ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
			labels := fmt.Sprintf(`job="berth",instance="10.0.%d.%d:9474",node="node-%d",zone=%q`, i/250, i%250, i, zoneOf(i))
			at := fleetTime(scrape).Unix()
			fmt.Fprintf(&out, "up{%s} 1 %d\n", labels, at)
			for line := range strings.Lines(answer.Body.String()) {
				series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				if brace := strings.LastIndex(line, "} "); brace >= 0 {
					series, value = line[:brace], strings.TrimSpace(line[brace+2:])
				}
				metric, own, _ := strings.Cut(series, "{")
				if used[metric] {
					fmt.Fprintf(&out, "%s{%s} %s %d\n", metric, strings.TrimSuffix(labels+","+own, ","), value, at)
				}
			}
		}
	}
	out.WriteString("# EOF\n")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// prometheus is a running server.
type prometheus struct {
	url    string
	client *http.Client
}

// startPrometheus serves the fleet.
func startPrometheus(t *testing.T) prometheus {
	t.Helper()
	dir := t.TempDir()
	writeFleet(t, filepath.Join(dir, "fleet.om"))
	if out, err := promtool(t, dir, "tsdb", "create-blocks-from", "openmetrics", "fleet.om", "data"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run: apt-get install -y --no-install-recommends prometheus", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	address := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			p := prometheus{"http://" + m[1], &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
			go func() { // so that it is never blocked; ends with the process
				for lines.Scan() {
				}
			}()
			p.waitReady(t)
			return p
		}
	}
	t.Fatalf("prometheus ends:\n%s", said.String())
	return prometheus{}
}

func (p prometheus) waitReady(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		response, err := p.client.Get(p.url + "/-/ready")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("prometheus is not ready within two minutes")
}

// get decodes the data of an answer.
func (p prometheus) get(t *testing.T, path string, form url.Values, into any) error {
	t.Helper()
	response, err := p.client.Get(p.url + path + "?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// result is a series of an answer, with its last value.
type result struct {
	labels map[string]string
	value  float64
}

// ask runs a query at the end of the data, or over all of it.
func (p prometheus) ask(t *testing.T, expr string, instant bool) ([]result, error) {
	t.Helper()
	end := strconv.FormatInt(fleetTime(scrapes-1).Unix(), 10)
	path, form := "/api/v1/query", url.Values{"query": {expr}, "time": {end}}
	if !instant {
		start := strconv.FormatInt(fleetTime(0).Unix(), 10)
		path, form = "/api/v1/query_range", url.Values{"query": {expr}, "start": {start}, "end": {end}, "step": {"60"}}
	}
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
			Values [][2]any
		}
	}
	if err := p.get(t, path, form, &data); err != nil {
		return nil, err
	}
	var all []result
	for _, r := range data.Result {
		if len(r.Values) > 0 {
			r.Value = r.Values[len(r.Values)-1]
		}
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, result{r.Metric, value})
	}
	return all, nil
}
