package startup

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakekube"
)

// Each case is one node, "n". A step changes the cluster; after all steps and a minute the node has
// these taints.
func TestTaint(t *testing.T) {
	const other = "example.com/gpu"
	for name, c := range map[string]struct {
		open  time.Duration
		steps func(f *fixture)
		want  []string
	}{
		"no pod": {0, func(f *fixture) {}, []string{key, other}},
		"not ready": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", false)
		}, []string{key, other}},
		"ready": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", true)
		}, []string{other}},
		"ready on another node": {0, func(f *fixture) {
			f.Pod("m", "berth-1")
			f.Report("berth-1", true)
		}, []string{key, other}},
		"ready, being deleted": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Change(fakekube.PodPath("berth-1"), func(o object) object {
				fakekube.Metadata(o)["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
				return o
			})
			f.Report("berth-1", true)
		}, []string{key, other}},
		"ready, of no DaemonSet": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Change(fakekube.PodPath("berth-1"), func(o object) object {
				delete(fakekube.Metadata(o), "ownerReferences")
				return o
			})
			f.Report("berth-1", true)
		}, []string{key, other}},
		"ready, with other labels": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Change(fakekube.PodPath("berth-1"), func(o object) object {
				fakekube.Metadata(o)["labels"] = object{"app": "other"}
				return o
			})
			f.Report("berth-1", true)
		}, []string{key, other}},
		"a second pod is ready": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", false)
			f.Pod("n", "berth-2")
			f.Report("berth-2", true)
		}, []string{other}},
		"ready in the last life": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", true)
			time.Sleep(time.Minute)
			f.join("n", other)
		}, []string{key, other}},
		"the same pod, in this life": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", true)
			time.Sleep(time.Minute)
			f.join("n", other)
			time.Sleep(time.Minute)
			f.Report("berth-1", false)
			time.Sleep(time.Second)
			f.Report("berth-1", true)
		}, []string{other}},
		"before the limit": {2 * time.Minute, func(f *fixture) {}, []string{key, other}},
		"after the limit":  {2 * time.Minute, func(f *fixture) { time.Sleep(62 * time.Second) }, []string{other}},
		"taint given again, not ready": {0, func(f *fixture) {
			f.Pod("n", "berth-1")
			f.Report("berth-1", true)
			time.Sleep(time.Minute)
			f.Report("berth-1", false)
			time.Sleep(time.Second) // nodes and pods are two watches, in no order
			f.Change("nodes/n", func(o object) object {
				o["spec"] = object{"taints": []any{fakekube.Taint(key), fakekube.Taint(other)}}
				return o
			})
		}, []string{key, other}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, dir)
				defer f.Close()
				f.join("n", other)
				defer f.start(c.open)()
				time.Sleep(time.Second)
				c.steps(f)
				time.Sleep(time.Minute)
				if got := fakekube.Taints(f.Get("nodes/n")); !slices.Equal(got, c.want) {
					t.Errorf("the node has the taints %q, want %q\n%s", got, c.want, &f.logs.text)
				}
			})
		})
	}
}

// The log has one line for a node, with the reason, and one for a node that is slow.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dir)
		defer f.Close()
		defer f.start(5 * time.Minute)()
		for _, n := range []string{"good", "bad"} {
			f.join(n)
			f.Pod(n, "berth-"+n)
		}
		f.Change(fakekube.PodPath("berth-bad"), func(o object) object {
			o["status"] = object{"phase": "Pending", "containerStatuses": []any{
				object{"name": "agent", "state": object{"waiting": object{"reason": "ImagePullBackOff"}}},
			}}
			return o
		})
		time.Sleep(10 * time.Second)
		f.Report("berth-good", true)
		time.Sleep(10 * time.Minute)
		const why = "pod berth-bad is not ready: container agent ImagePullBackOff"
		for _, want := range []struct{ message, node, level, reason string }{
			{"taint removed", "good", "INFO", "pod berth-good is ready"},
			{"node still has the taint", "bad", "WARN", why},
			{"taint removed without a ready agent: the limit has passed", "bad", "WARN", why},
		} {
			got := f.logs.with(want.message)
			if len(got) != 1 || got[0]["node"] != want.node || got[0]["level"] != want.level || got[0]["reason"] != want.reason {
				t.Errorf("%s: %v, want %+v", want.message, got, want)
			}
		}
	})
}

// A node that others change at each moment gets rid of the taint, and of nothing else.
func TestConcurrentEdits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dir)
		defer f.Close()
		f.join("n", "example.com/0")
		f.Pod("n", "berth-1")
		f.Report("berth-1", true)
		want := []string{"example.com/0"}
		edit := func(add string) {
			f.Change("nodes/n", func(o object) object {
				spec := o["spec"].(object)
				spec["taints"] = append(spec["taints"].([]any), fakekube.Taint(add))
				want = append(want, add) // one edit at a time
				return o
			})
		}
		// Each of the first patches finds a node that has changed since it was read.
		patches := 0
		f.SetFaults(faultsOf(func(method string) fakekube.Fault {
			if method == "PATCH" {
				if patches++; patches <= 7 {
					go edit(fmt.Sprint("example.com/", patches))
					return fakekube.Slow
				}
			}
			return fakekube.None
		}))
		defer f.start(0)()
		time.Sleep(5 * time.Minute)
		if got := fakekube.Taints(f.Get("nodes/n")); !slices.Equal(got, want) {
			t.Errorf("taints %q, want %q\n%s", got, want, &f.logs.text)
		}
		if patches < 8 {
			t.Errorf("%d patches, of which seven met an edit: want 8 or more", patches)
		}
	})
}

// The metrics tell how many nodes wait and since when, which taints were removed and what fails, and
// the page has a row for each.
func TestMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, dir)
		defer f.Close()
		compare := func(want ...string) {
			t.Helper()
			answer := httptest.NewRecorder()
			metricsHandler(f.controller.registry()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			var got []string
			for line := range strings.Lines(answer.Body.String()) {
				if metric, ok := strings.CutPrefix(strings.TrimSpace(line), metricPrefix); ok {
					got = append(got, metric)
					name, _, _ := strings.Cut(strings.Fields(metric)[0], "{")
					if !strings.Contains(string(page), "| `"+metricPrefix+name+"` |") {
						t.Errorf("docs/kubernetes.md has no row for %s%s", metricPrefix, name)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("metrics %q, want %q\n%s", got, want, &f.logs.text)
			}
		}
		f.join("ready")
		f.Pod("ready", "berth-ready")
		f.Report("berth-ready", true)
		f.join("waits")
		created := float64(time.Now().Unix())
		f.SetFaults(func(*http.Request) fakekube.Fault { return fakekube.Broken })
		defer f.start(3 * time.Minute)()
		synctest.Wait()
		compare(`errors_total{operation="follow"} 2`, `errors_total{operation="remove"} 0`, `removals_total{reason="fail_open"} 0`, `removals_total{reason="ready"} 0`)
		failed := map[string]bool{}
		f.SetFaults(faultsOf(func(method string) fakekube.Fault {
			if method == "GET" || failed[method] { // the first watch and the first patch fail
				return fakekube.None
			}
			failed[method] = true
			return fakekube.Broken
		}))
		time.Sleep(time.Minute)
		compare(`errors_total{operation="follow"} 3`, `errors_total{operation="remove"} 1`, "nodes_waiting 1", fmt.Sprint("oldest_node_timestamp_seconds ", created),
			`removals_total{reason="fail_open"} 0`, `removals_total{reason="ready"} 1`)
		time.Sleep(3 * time.Minute)
		compare(`errors_total{operation="follow"} 3`, `errors_total{operation="remove"} 1`, "nodes_waiting 0",
			`removals_total{reason="fail_open"} 1`, `removals_total{reason="ready"} 1`)
	})
}

func TestCheckKey(t *testing.T) {
	for k, good := range map[string]bool{
		key: true, "berth.example/starting": true, "starting": true,
		"": false, "a b": false, "/x": false, "a/": false, "a/b/c": false,
		"node.kubernetes.io/not-ready": false, "node-role.kubernetes.io/control-plane": false,
		"node.cloudprovider.kubernetes.io/uninitialized": false,
	} {
		if err := CheckKey(k); (err == nil) != good {
			t.Errorf("%q: %v", k, err)
		}
	}
}
