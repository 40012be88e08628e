package startup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/internal/kubeapi"
)

// Options say whose taints are removed, and when.
type Options struct {
	API       *kubeapi.Client
	Key       string        // of the taint
	Namespace string        // of Berth's DaemonSets
	Selector  string        // label selector of their pods
	FailOpen  time.Duration // after a node's creation, without a ready agent; 0 for never
	Log       *slog.Logger
}

// slow is how long after a node's creation its taint is a warning.
const slow = 2 * time.Minute

// workers is how many nodes are patched at once.
const workers = 8

// attempts is how often the taint of one node is removed before others have their turn, if the
// node is changed by others at the same time.
const attempts = 5

// keyForm is a qualified name (Kubernetes documentation, "Labels and Selectors", syntax).
var keyForm = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// CheckKey reports what is wrong with the key of a taint. Keys of Kubernetes itself are refused: to
// remove them would start pods on nodes that are not ready, or are for others.
func CheckKey(key string) error {
	if !keyForm.MatchString(key) {
		return fmt.Errorf("%q is not the key of a taint; write one such as startup-taint.cluster-autoscaler.kubernetes.io/berth", key)
	}
	for _, others := range []string{"node.kubernetes.io/", "node-role.kubernetes.io/", "node.cloudprovider.kubernetes.io/"} {
		if strings.HasPrefix(key, others) {
			return fmt.Errorf("%s belongs to Kubernetes; write a key of your own, such as startup-taint.cluster-autoscaler.kubernetes.io/berth", key)
		}
	}
	return nil
}

// Controller removes taints.
type Controller struct {
	o     Options
	nodes *kubeapi.Cache[node]
	pods  *kubeapi.Cache[pod]
	wake  chan struct{}
	metrics

	// Of the loop alone, by the name of the node.
	done    map[string]string // resource version of the node that was patched
	retries map[string]retry
	warned  map[string]string // uid of the node that was warned about
}

// retry is what is known about a node whose taint could not be removed.
type retry struct {
	failures int
	at       time.Time // of the next attempt
}

// New returns a controller, which does nothing yet.
func New(o Options) *Controller {
	c := &Controller{
		o: o, wake: make(chan struct{}, 1), metrics: newMetrics(),
		done: map[string]string{}, retries: map[string]retry{}, warned: map[string]string{},
	}
	changed := func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	failed := c.failures.WithLabelValues(operationFollow).Inc
	c.nodes = &kubeapi.Cache[node]{Client: o.API, Path: "/api/v1/nodes", Log: o.Log, Changed: changed, Failed: failed}
	c.pods = &kubeapi.Cache[pod]{
		Client: o.API, Path: "/api/v1/namespaces/" + url.PathEscape(o.Namespace) + "/pods",
		Query: url.Values{"labelSelector": {o.Selector}}, Log: o.Log, Changed: changed, Failed: failed,
	}
	return c
}

// Run removes taints until ctx is done. What fails is logged and tried again.
func (c *Controller) Run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { c.nodes.Run(ctx) })
	following.Go(func() { c.pods.Run(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		if next := c.pass(ctx); !next.IsZero() {
			timer.Reset(max(next.Sub(c.o.API.Now()), 0))
		}
	}
}

// Synced reports whether all nodes and pods were read once.
func (c *Controller) Synced() bool {
	_, nodes := c.nodes.Items()
	_, pods := c.pods.Items()
	return nodes && pods
}

// pass computes what is to be done for all nodes and does it. It returns when to look again without
// an event, by the clock of the API server; zero for never.
func (c *Controller) pass(ctx context.Context) (next time.Time) {
	nodes, synced := c.nodes.Items()
	pods, podsSynced := c.pods.Items()
	if !synced || !podsSynced {
		return time.Time{}
	}
	byNode := map[string][]pod{}
	for _, p := range pods {
		byNode[p.Spec.NodeName] = append(byNode[p.Spec.NodeName], p)
	}
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	now := c.o.API.Now()
	tainted, done := map[string]bool{}, map[string]string{}
	var remove []verdict
	for _, n := range nodes {
		name, version := n.Metadata.Name, n.Metadata.ResourceVersion
		if _, found := n.without(c.o.Key); !found {
			continue
		}
		if c.done[name] == version { // the cache does not have the result of our patch yet
			done[name] = version
			continue
		}
		tainted[name] = true
		v := judge(n, byNode[name], now, c.o.FailOpen)
		switch r := c.retries[name]; {
		case !v.remove:
			sooner(v.again)
			sooner(c.warn(ctx, v, now))
		case now.Before(r.at):
			sooner(r.at)
		default:
			remove = append(remove, v)
		}
	}
	c.done = done
	c.forget(tainted)
	for i, err := range c.removeAll(ctx, remove) {
		name := remove[i].node.Metadata.Name
		if err == nil {
			c.done[name] = remove[i].node.Metadata.ResourceVersion
			delete(c.retries, name)
			continue
		}
		if ctx.Err() != nil {
			return time.Time{}
		}
		failures := c.retries[name].failures + 1
		pause := kubeapi.Pause(failures, err)
		c.retries[name] = retry{failures, c.o.API.Now().Add(pause)}
		sooner(c.retries[name].at)
		c.failures.WithLabelValues(operationRemove).Inc()
		c.o.Log.WarnContext(ctx, "taint not removed; trying again", "node", name, "error", err, "pause", pause)
	}
	return next
}

// forget drops what is known about nodes that have no taint any more.
func (c *Controller) forget(tainted map[string]bool) {
	for name := range c.retries {
		if !tainted[name] {
			delete(c.retries, name)
		}
	}
	for name := range c.warned {
		if !tainted[name] {
			delete(c.warned, name)
		}
	}
}

// warn logs once that a node is slow, and returns when it will be if it is not yet.
func (c *Controller) warn(ctx context.Context, v verdict, now time.Time) time.Time {
	m := v.node.Metadata
	if at := m.CreationTimestamp.Add(slow); now.Before(at) {
		return at
	}
	if c.warned[m.Name] != m.UID {
		c.warned[m.Name] = m.UID
		c.o.Log.WarnContext(ctx, "node still has the taint", "node", m.Name, "key", c.o.Key, "reason", v.reason, "since", now.Sub(m.CreationTimestamp).Round(time.Second))
	}
	return time.Time{}
}

// removeAll removes the taints of several nodes at once and returns an error for each.
func (c *Controller) removeAll(ctx context.Context, all []verdict) []error {
	errs := make([]error, len(all))
	slots := make(chan struct{}, workers)
	var running sync.WaitGroup
	for i, v := range all {
		slots <- struct{}{}
		running.Go(func() {
			errs[i] = c.remove(ctx, v)
			<-slots
		})
	}
	running.Wait()
	return errs
}

// remove removes the taint of one node. If others change the node at the same time, it reads the
// node again.
func (c *Controller) remove(ctx context.Context, v verdict) error {
	n := v.node
	path := "/api/v1/nodes/" + url.PathEscape(n.Metadata.Name)
	for range attempts {
		rest, found := n.without(c.o.Key)
		if !found {
			return nil // by another one
		}
		err := c.o.API.MergePatch(ctx, path, map[string]any{
			"metadata": map[string]any{"resourceVersion": n.Metadata.ResourceVersion},
			"spec":     map[string]any{"taints": rest},
		})
		switch {
		case err == nil:
			c.logRemoved(ctx, v)
			return nil
		case kubeapi.HasCode(err, http.StatusNotFound):
			return nil // the node is gone
		case !kubeapi.HasCode(err, http.StatusConflict):
			return err
		}
		var again node
		if err := c.o.API.Get(ctx, path, &again); kubeapi.HasCode(err, http.StatusNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		if again.Metadata.UID != n.Metadata.UID {
			return nil // another machine has that name now; the next pass decides about it
		}
		n = again
	}
	return errors.New("the node was changed by others at each attempt")
}

func (c *Controller) logRemoved(ctx context.Context, v verdict) {
	level, message, reason := slog.LevelInfo, "taint removed", reasonReady
	if v.open {
		level, message, reason = slog.LevelWarn, "taint removed without a ready agent: the limit has passed", reasonFailOpen
	}
	c.removals.WithLabelValues(reason).Inc()
	m := v.node.Metadata
	c.o.Log.Log(ctx, level, message, "node", m.Name, "key", c.o.Key, "reason", v.reason,
		"after", c.o.API.Now().Sub(m.CreationTimestamp).Round(time.Second))
}
