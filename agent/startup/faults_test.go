package startup

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakekube"
)

// faultsOf makes a fault a function of the method; a watch has the method WATCH.
func faultsOf(fault func(method string) fakekube.Fault) func(*http.Request) fakekube.Fault {
	return func(r *http.Request) fakekube.Fault {
		method := r.Method
		if r.URL.Query().Get("watch") != "" {
			method = "WATCH"
		}
		return fault(method)
	}
}

// life is what a trial knows of the present life of a node.
type life struct {
	created time.Time
	ready   bool // a pod of this life was ready
	others  []string
}

// trial is a cluster with faults: nodes join, are replaced under their old names, and are changed
// by others; some agents are slow, some never become ready; the controllers are killed and started.
type trial struct {
	*fixture
	random *rand.Rand
	open   time.Duration

	mu    sync.Mutex
	lives map[string]*life
	wrong []string
	gone  int // taints that were removed
}

// judge is called for each accepted patch.
func (r *trial) judge(before, after object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := fakekube.Metadata(after)["name"].(string)
	l, had, has := r.lives[name], fakekube.Taints(before), fakekube.Taints(after)
	complain := func(format string, args ...any) {
		r.wrong = append(r.wrong, name+": "+fmt.Sprintf(format, args...))
	}
	if want := slices.DeleteFunc(slices.Clone(had), func(k string) bool { return k == key }); !slices.Equal(has, want) {
		complain("taints %q became %q", had, has)
	}
	age := time.Since(l.created)
	if slices.Contains(had, key) {
		r.gone++
		if !l.ready && (r.open == 0 || age < r.open) {
			complain("the taint was removed after %s, and no pod was ready", age)
		}
	}
}

// node runs the life of one name: one or several machines.
func (r *trial) node(name string, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	pause := func(atMost time.Duration) { time.Sleep(time.Second + rand.N(atMost)) }
	lives := 1 + random.IntN(3)
	old := ""
	for i := range lives {
		pause(time.Minute)
		r.mu.Lock()
		r.lives[name] = &life{created: time.Now().Truncate(time.Second), others: []string{"example.com/first"}}
		l := r.lives[name]
		r.mu.Unlock()
		r.join(name, "example.com/first")
		pod := fmt.Sprintf("%s-%d", name, i)
		if old != "" && random.IntN(2) == 0 {
			pod = old // it was not deleted, and its status is that of the last machine
		} else {
			pause(5 * time.Second)
			r.Pod(name, pod)
			if old != "" && random.IntN(2) == 0 {
				r.Change(fakekube.PodPath(old), func(object) object { return nil })
			}
		}
		old = pod
		for range random.IntN(4) { // it crashes
			pause(10 * time.Second)
			r.Report(pod, false)
		}
		for j := range random.IntN(3) {
			pause(10 * time.Second)
			other := fmt.Sprintf("example.com/%d", j)
			r.Change("nodes/"+name, func(o object) object {
				spec := o["spec"].(object)
				all, _ := spec["taints"].([]any)
				spec["taints"] = append(all, fakekube.Taint(other))
				return o
			})
			r.mu.Lock()
			l.others = append(l.others, other)
			r.mu.Unlock()
		}
		if random.IntN(4) > 0 {
			pause(time.Minute)
			r.mu.Lock()
			l.ready = true
			r.mu.Unlock()
			r.Report(pod, true)
		}
	}
}

// Whatever fails, no other taint is changed, none is removed before a pod of this life of the node
// was ready or the limit has passed, and in the end each taint is gone that must go.
func TestFaults(t *testing.T) {
	removed := 0
	for seed := range uint64(3) {
		for _, open := range []time.Duration{0, 3 * time.Minute} {
			t.Run(fmt.Sprint(seed, " ", open), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					r := &trial{fixture: newFixture(t, dir), random: rand.New(rand.NewPCG(seed, 1)), open: open, lives: map[string]*life{}}
					defer r.Close()
					r.run(seed)
					removed += r.gone
				})
			})
		}
	}
	if removed < 40 {
		t.Errorf("only %d taints were removed: this proves nothing", removed)
	}
}

func (r *trial) run(seed uint64) {
	var chaos sync.Mutex // the random source is used by several goroutines
	r.OnPatch(r.judge)
	r.SetFaults(func(*http.Request) fakekube.Fault {
		chaos.Lock()
		defer chaos.Unlock()
		if r.random.IntN(10) < 6 {
			return fakekube.None
		}
		return fakekube.Fault(r.random.IntN(fakekube.Faults))
	})
	var nodes sync.WaitGroup
	for i := range 12 {
		nodes.Go(func() { r.node(fmt.Sprintf("node-%02d", i), seed*100+uint64(i)) })
	}
	running := []func(){r.start(r.open), r.start(r.open)}
	ended := make(chan struct{})
	go func() {
		nodes.Wait()
		close(ended)
	}()
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		case <-time.After(20 * time.Second):
		}
		chaos.Lock()
		which, compact := r.random.IntN(3), r.random.IntN(3) == 0
		chaos.Unlock()
		if which < 2 { // one is killed, another one is started
			running[which]()
			running[which] = r.start(r.open)
		}
		if compact {
			r.Compact()
		}
		if err := r.Rotate(); err != nil {
			r.Fatal(err)
		}
	}
	r.SetFaults(func(*http.Request) fakekube.Fault { return fakekube.None })
	time.Sleep(5 * time.Minute)
	for _, stop := range running {
		stop()
	}
	for _, w := range r.wrong {
		r.Error(w)
	}
	for name, l := range r.lives {
		has := fakekube.Taints(r.Get("nodes/" + name))
		if stays, want := slices.Contains(has, key), !l.ready && r.open == 0; stays != want {
			r.Errorf("%s: in the end the taint is there: %t, want %t", name, stays, want)
		}
		if rest := slices.DeleteFunc(has, func(k string) bool { return k == key }); !slices.Equal(rest, l.others) {
			r.Errorf("%s: other taints are %q, want %q", name, rest, l.others)
		}
	}
	for _, token := range r.Tokens() {
		if strings.Contains(r.logs.text.String(), token) {
			r.Error("the log has a token")
		}
	}
	if r.Failed() {
		r.Log(r.logs.text.String())
	}
}

// The trial notices a controller that removes taints early, and one that loses other taints.
func TestFaultsNotices(t *testing.T) {
	r := &trial{lives: map[string]*life{"n": {created: time.Now()}}}
	node := func(keys ...string) object {
		var all []any
		for _, k := range keys {
			all = append(all, fakekube.Taint(k))
		}
		return object{"metadata": object{"name": "n"}, "spec": object{"taints": all}}
	}
	r.judge(node(key), node())
	r.lives["n"].ready = true
	r.judge(node(key, "a", "b"), node("a"))
	r.judge(node(key, "a"), node("a"))
	if len(r.wrong) != 2 {
		t.Errorf("of two faults these are found: %q", r.wrong)
	}
}
