package tokensim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
)

// TestBoot: a cluster of a fiftieth of the size, with a fiftieth of the quota. The limit is fifty
// seconds.
func TestBoot(t *testing.T) {
	r := BootCluster(t, ClusterOptions{Seed: 1, Nodes: 200, Quota: 4, Burst: 4, Make: Berth, After: 15 * time.Hour})
	if at, ok := r.Percentile(0.999); !ok || at > 75*time.Second {
		t.Errorf("99.9 %% have a token after %s (%t)", at, ok)
	}
	if at, _ := r.Percentile(0.999); at < 45*time.Second {
		t.Errorf("99.9 %% have a token after %s: there is no quota", at)
	}
	if r.Lost > 0 || len(r.Ready) != r.Nodes {
		t.Errorf("%d of %d never had a token, %d have none now", r.Nodes-len(r.Ready), r.Nodes, r.Lost)
	}
	if perNode := float64(r.Calls) / float64(r.Nodes); perNode > 20 {
		t.Errorf("%g calls a node", perNode)
	}
	// The token is renewed twice, each time after five and a half to six and a half hours.
	if calls := r.Steady * r.After.Seconds(); calls < 2*200-0.5 || calls > 2*200+0.5 {
		t.Errorf("%g calls in the fifteen hours after, want two for each node", calls)
	}
	if r.SteadyPeak > 10 {
		t.Errorf("%d renewals in one second", r.SteadyPeak)
	}
}

// TestBootNotices: nodes in lockstep are ready too late, impatient ones call too often.
func TestBootNotices(t *testing.T) {
	o := ClusterOptions{Seed: 1, Nodes: 400, Quota: 8, Burst: 8, Make: Lockstep}
	if at, ok := BootCluster(t, o).Percentile(0.999); ok && at < 75*time.Second {
		t.Errorf("in lockstep 99.9 %% have a token after %s", at)
	}
	o.Make, o.Nodes, o.Quota, o.Burst = Naive, 50, 1, 1
	if r := BootCluster(t, o); float64(r.Calls)/float64(r.Nodes) < 40 {
		t.Errorf("the impatient ones make %d calls, %d nodes", r.Calls, r.Nodes)
	}
}

func TestBucket(t *testing.T) {
	now := time.Now()
	b := &bucket{rate: 10, burst: 5, level: 5, last: now}
	took := 0
	for range 100 {
		if b.take(now) {
			took++
		}
	}
	if took != 5 {
		t.Errorf("%d at once", took)
	}
	// 250 ms are worth two and a half calls; throttled calls cost nothing.
	for i, want := range []bool{true, true, false} {
		if got := b.take(now.Add(250 * time.Millisecond)); got != want {
			t.Errorf("call %d after 250 ms: %t", i, got)
		}
	}
	if !b.take(now.Add(300 * time.Millisecond)) {
		t.Error("half a call was lost")
	}
}

func TestPercentile(t *testing.T) {
	r := ClusterReport{ClusterOptions: ClusterOptions{Nodes: 1000}}
	for i := range 999 {
		r.Ready = append(r.Ready, time.Duration(i+1)*time.Second)
	}
	for part, want := range map[float64]time.Duration{0.5: 500 * time.Second, 0.99: 990 * time.Second, 0.999: 999 * time.Second, 0: time.Second} {
		if got, ok := r.Percentile(part); !ok || got != want {
			t.Errorf("%g: %s, want %s", part, got, want)
		}
	}
	if _, ok := r.Percentile(1); ok {
		t.Error("a node without a token counts")
	}
}

// TestRealChain boots real token files and the real chain, over sockets, in simulated time, and
// compares them with the nodes of a cluster. The server is outside the bubble and gets the time from
// it.
func TestRealChain(t *testing.T) {
	const nodes, quota = 40, 0.8
	var clock atomic.Int64
	aws := &account{perSecond: map[int]int{}, bucket: &bucket{rate: quota, burst: 1, level: 1}}
	url := serve(t, aws, &clock)
	dir := t.TempDir()
	env := map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "AWS_ENDPOINT_URL_ECR": url, "HOME": dir,
	}
	var mu sync.Mutex
	var ready []time.Duration
	var slowest time.Duration
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		aws.begin, aws.bucket.last = begin, begin
		r, _ := ecr.ParseHost("111122223333.dkr.ecr.us-east-1.amazonaws.com")
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range nodes {
			now := func() time.Time {
				now := time.Now()
				clock.Store(now.UnixNano())
				return now
			}
			source := &timed{Tokens: &credprovider.Tokens{
				Dir: filepath.Join(dir, fmt.Sprint(i)), Now: now,
				Chain: ecr.NewChain(ecr.Options{Getenv: func(k string) string { return env[k] }, Client: client.New(client.Options{Getenv: func(k string) string { return env[k] }, Now: now}), Now: now}),
			}}
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			all.Go(func() {
				sleep(ctx, time.Duration(rnd.Int64N(int64(time.Second))))
				var k *tokens.Refresher
				had := false
				k = tokens.New(tokens.Options{Rand: rnd.Float64, Changed: func() {
					if _, ok := k.Token(r); ok && !had {
						had = true
						mu.Lock()
						defer mu.Unlock()
						ready = append(ready, time.Since(begin))
						slowest = max(slowest, source.longest)
					}
				}})
				k.Set(source, []ecr.Registry{r})
				if err := errors.Join(k.Run(ctx), source.odd); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(75 * time.Second)
		cancel()
		all.Wait()
	})
	if len(ready) != nodes {
		t.Errorf("%d of %d nodes have a token after 75 s", len(ready), nodes)
	}
	model := BootCluster(t, ClusterOptions{Seed: 1, Nodes: nodes, Quota: quota, Burst: 1, Make: Berth})
	calls, _ := aws.between(0, 100)
	if calls < model.Calls*3/4 || calls > model.Calls*4/3 {
		t.Errorf("%d calls of ECR, the model makes %d", calls, model.Calls)
	}
	// A throttled attempt is two calls with a pause between them.
	if slowest < 200*time.Millisecond || slowest > 600*time.Millisecond {
		t.Errorf("the longest attempt took %s", slowest)
	}
}

// timed measures attempts; a refresher makes one at a time for a region.
type timed struct {
	*credprovider.Tokens
	longest time.Duration
	odd     error // an error other than throttling
}

func (s *timed) Renew(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
	begin := time.Now()
	t, err := s.Tokens.Renew(ctx, r)
	s.longest = max(s.longest, time.Since(begin))
	if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "ThrottlingException") {
		s.odd = err
	}
	return t, err
}

// serve is the metadata service and ECR on loopback.
func serve(t *testing.T, aws *account, clock *atomic.Int64) string {
	t.Helper()
	mux := http.NewServeMux()
	say := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	mux.HandleFunc("PUT /latest/api/token", say("session"))
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", say("node"))
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/node", say(`{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"secretcanary","Token":"sessioncanary"}`))
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		now := time.Unix(0, clock.Load())
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
			http.Error(w, "unknown", http.StatusBadRequest)
			return
		}
		aws.mu.Lock()
		aws.perSecond[int(now.Sub(aws.begin)/time.Second)]++
		ok := aws.bucket.take(now)
		aws.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
			return
		}
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":"QVdTOnRva2Vu","expiresAt":%d}]}`, now.Add(12*time.Hour).Unix())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}
