package tokensim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// ClusterOptions are the size of the cluster and its quota at AWS.
type ClusterOptions struct {
	Seed  uint64
	Nodes int
	// Quota is how many calls a second AWS answers for the account in the region; Burst is the most
	// it has saved up.
	Quota, Burst float64
	// After is how long the nodes are watched after they have booted.
	After time.Duration
	// Make makes the refresher of each node; nil: the nodes have no refresher, and kubelet runs the
	// credential provider for a pod until it gets a token.
	Make Make
}

// ClusterReport is the outcome for a cluster.
type ClusterReport struct {
	ClusterOptions
	// Ready is the time from the start of the first second until each node had its token, sorted.
	// Nodes that never had one are missing.
	Ready []time.Duration
	// Calls is the number of calls of GetAuthorizationToken until the last node was ready, Peak the
	// most in one second. They include throttled calls.
	Calls, Peak int
	// Steady is the calls a second after that, SteadyPeak the most in one second.
	Steady     float64
	SteadyPeak int
	// Lost counts nodes without a token at the end.
	Lost int
}

// Percentile returns the time by which a part of all nodes was ready, and false if that many never
// were.
func (r ClusterReport) Percentile(part float64) (time.Duration, bool) {
	at := int(part*float64(r.Nodes)+0.9999999) - 1
	if at >= len(r.Ready) {
		return 0, false
	}
	return r.Ready[max(at, 0)], true
}

// BootCluster boots a cluster within one second: each node asks for a token of the same region of one
// account.
func BootCluster(t *testing.T, o ClusterOptions) ClusterReport {
	var report ClusterReport
	synctest.Test(t, func(*testing.T) { report = boot(o) })
	return report
}

func boot(o ClusterOptions) ClusterReport {
	begin := time.Now()
	quota := &bucket{rate: o.Quota, burst: o.Burst, level: o.Burst, last: begin}
	aws := &account{begin: begin, bucket: quota, perSecond: map[int]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var mu sync.Mutex
	var ready []time.Duration
	nodes := make([]*clusterNode, o.Nodes)
	for i := range nodes {
		rnd := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		n := &clusterNode{aws: aws, rnd: rnd}
		n.served = func() {
			mu.Lock()
			defer mu.Unlock()
			ready = append(ready, time.Since(begin))
		}
		nodes[i] = n
		after := time.Duration(rnd.Int64N(int64(time.Second)))
		all.Go(func() {
			if !sleep(ctx, after) {
				return
			}
			if o.Make == nil {
				n.kubelet(ctx)
				return
			}
			n.keep(ctx, o.Make)
		})
	}
	for limit := begin.Add(time.Hour); time.Now().Before(limit); time.Sleep(time.Second) {
		mu.Lock()
		done := len(ready) == o.Nodes
		mu.Unlock()
		if done {
			break
		}
	}
	r := ClusterReport{ClusterOptions: o}
	booted := int(time.Since(begin) / time.Second)
	r.Calls, r.Peak = aws.between(0, booted)
	time.Sleep(o.After)
	for _, n := range nodes {
		if !n.hasToken() {
			r.Lost++
		}
	}
	if o.After > 0 {
		var calls int
		calls, r.SteadyPeak = aws.between(booted+1, booted+int(o.After/time.Second))
		r.Steady = float64(calls) / o.After.Seconds()
	}
	cancel()
	all.Wait()
	slices.Sort(ready)
	r.Ready = ready
	return r
}

// bucket is a quota as AWS counts it: throttled calls cost nothing.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
type bucket struct {
	rate, burst, level float64
	last               time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.level = min(b.burst, b.level+b.rate*now.Sub(b.last).Seconds())
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

// account is the AWS account that all nodes share.
type account struct {
	begin time.Time

	mu        sync.Mutex
	bucket    *bucket
	perSecond map[int]int
	serial    int
}

// ask is one call of GetAuthorizationToken. It returns a serial number, or 0 if the call is
// throttled.
func (a *account) ask() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.perSecond[int(now.Sub(a.begin)/time.Second)]++
	if !a.bucket.take(now) {
		return 0
	}
	a.serial++
	return a.serial
}

// between sums up the seconds from one to another, both included.
func (a *account) between(from, to int) (calls, peak int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for second, n := range a.perSecond {
		if second >= from && second <= to {
			calls += n
			peak = max(peak, n)
		}
	}
	return calls, peak
}

// clusterNode is one node: its token file, and the credential provider's sources in front of AWS.
type clusterNode struct {
	aws    *account
	served func() // called once, when there is a token

	mu     sync.Mutex
	rnd    *rand.Rand
	stored credprovider.Token
	ready  bool
}

func (n *clusterNode) hasToken() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stored.Usable(time.Now())
}

func (n *clusterNode) between(least, most time.Duration) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return least + time.Duration(n.rnd.Int64N(int64(most-least)))
}

func (n *clusterNode) float() float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rnd.Float64()
}

// keep runs a refresher.
func (n *clusterNode) keep(ctx context.Context, make Make) {
	r, _ := ecr.ParseHost("111122223333.dkr.ecr.us-east-1.amazonaws.com")
	var subject Subject
	subject = make(tokens.Options{Rand: n.float, Changed: func() {
		if n.ready {
			return
		}
		if _, ok := subject.Token(r); ok {
			n.ready = true
			n.served()
		}
	}})
	subject.Set(n, []ecr.Registry{r})
	_ = subject.Run(ctx) // otherwise the refresher reports that it already runs
}

// kubelet pulls one image as kubelet does: it syncs the pod every ten to fifteen seconds, and pulls
// again ten seconds after the first failure, twice as long after each further one, at most five
// minutes.
func (n *clusterNode) kubelet(ctx context.Context) {
	backoff := 10 * time.Second
	for ctx.Err() == nil {
		if _, err := n.Renew(ctx, ecr.Registry{}); err == nil {
			n.served()
			return
		}
		for failed := time.Now(); time.Since(failed) < backoff; {
			if !sleep(ctx, n.between(10*time.Second, 15*time.Second)) {
				return
			}
		}
		backoff = min(2*backoff, 5*time.Minute)
	}
}

func (n *clusterNode) Cached(ecr.Registry) (credprovider.Token, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stored, n.stored.Usable(time.Now())
}

func (n *clusterNode) Get(_ context.Context, r ecr.Registry) (credprovider.Token, error) {
	t, _ := n.Cached(r)
	return t, nil
}

// Renew does the same as [credprovider.Tokens] and its chain on an instance with a role and without
// static keys: it reads the role's keys and calls ECR, both again after 200 to 400 ms if ECR
// throttles. TestRealChain compares it with them.
func (n *clusterNode) Renew(ctx context.Context, _ ecr.Registry) (credprovider.Token, error) {
	for try := range 2 {
		if try > 0 && !sleep(ctx, n.between(200*time.Millisecond, 400*time.Millisecond)) {
			break
		}
		if !sleep(ctx, n.between(10*time.Millisecond, 60*time.Millisecond)) {
			break
		}
		serial := n.aws.ask()
		if !sleep(ctx, n.between(5*time.Millisecond, 40*time.Millisecond)) {
			break
		}
		if serial > 0 {
			return n.store(), nil
		}
	}
	return credprovider.Token{}, &ecr.ChainError{Errs: []ecr.SourceError{
		{Source: "instance profile", Err: &ecr.Error{Outcome: ecr.Busy, Op: "get a token", Err: errors.New("throttled")}},
		{Source: "static keys", Err: &ecr.Error{Outcome: ecr.NoKeys, Op: "find static keys"}},
	}}
}

func (n *clusterNode) store() credprovider.Token {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now().Round(0)
	n.stored = credprovider.Token{Token: ecr.Token{
		Username: "AWS", Password: redact.New(now.String()), Issued: now, Expires: now.Add(12 * time.Hour),
	}}
	return n.stored
}

func (n *clusterNode) Scopes() ([]ecr.Registry, error) { return nil, nil }
