package kubeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// pageSize bounds the memory of a list: a node with many images is 50 KB of JSON.
const pageSize = 100

// A watch ends after watchTime, by the API server, and is continued. One that the server does not
// end is cut after watchTime + watchGrace.
const (
	watchTime  = 5 * time.Minute
	watchGrace = 30 * time.Second
)

// errRelist: a watch cannot go on from its resource version.
var errRelist = errors.New("the resource version is too old")

// Object is what a [Cache] has to know of an object.
type Object interface {
	// Identity returns what tells the object apart from others of its kind, and its resource
	// version.
	Identity() (key, resourceVersion string)
}

// Cache is a copy of all objects of one kind, as far as the API server has reported them. It may be
// old, but every object in it once was as it is here.
type Cache[T Object] struct {
	Client *Client
	Path   string     // of the list, such as /api/v1/nodes
	Query  url.Values // labelSelector and the like
	Log    *slog.Logger
	// Changed is called after each change, and Failed after each failure that is logged, by the
	// goroutine of Run.
	Changed, Failed func()

	mu     sync.Mutex
	items  map[string]T
	synced bool
}

// Items returns all objects, in the order of their keys, and whether a whole list was read before.
// Without it they are none.
func (c *Cache[T]) Items() ([]T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []T
	for _, key := range slices.Sorted(maps.Keys(c.items)) {
		all = append(all, c.items[key])
	}
	return all, c.synced
}

// Run lists and watches until ctx is done. What fails is logged and tried again.
func (c *Cache[T]) Run(ctx context.Context) {
	version := "" // from which to watch; "" to list
	failures := 0
	for ctx.Err() == nil {
		before, begin := version, time.Now()
		var err error
		if version == "" {
			version, err = c.list(ctx)
		} else if version, err = c.watch(ctx, version); version != before || err == nil {
			failures = 0
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
		case before == "" || time.Since(begin) > time.Second:
			continue
		}
		if errors.Is(err, errRelist) {
			version = ""
		}
		pause := Pause(max(failures, 1), err)
		if err != nil {
			c.Failed()
			c.Log.WarnContext(ctx, "cannot follow objects; trying again", "path", c.Path, "error", err, "pause", pause)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Pause returns how long to wait after so many failures in a row, of which err is the last: a
// second, then twice as long each time, up to 30 seconds, and a random part of it, so that clients
// do not return together; or what the API server asks for, up to a minute.
func Pause(failures int, err error) time.Duration {
	if status, ok := errors.AsType[*StatusError](err); ok && status.RetryAfter > 0 {
		return min(status.RetryAfter, time.Minute)
	}
	whole := min(time.Second<<min(failures-1, 10), 30*time.Second)
	return whole/2 + rand.N(whole/2)
}

// list reads all objects, in pages, and replaces the copy. It returns the resource version of the
// list.
func (c *Cache[T]) list(ctx context.Context) (string, error) {
	query := url.Values{}
	maps.Copy(query, c.Query)
	query.Set("limit", strconv.Itoa(pageSize))
	items := map[string]T{}
	for {
		var page struct {
			Metadata struct{ ResourceVersion, Continue string }
			Items    []T
		}
		if err := c.Client.exchange(ctx, http.MethodGet, c.Path, query, "", nil, &page); err != nil {
			return "", err
		}
		if page.Metadata.ResourceVersion == "" {
			return "", fmt.Errorf("GET %s: the list has no resourceVersion", c.Path)
		}
		for _, item := range page.Items {
			key, _ := item.Identity()
			items[key] = item
		}
		if page.Metadata.Continue == "" {
			c.mu.Lock()
			c.items, c.synced = items, true
			c.mu.Unlock()
			c.Changed()
			return page.Metadata.ResourceVersion, nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
}

// watch follows the changes from a resource version on until the API server ends the watch, and
// returns the version to go on from.
func (c *Cache[T]) watch(ctx context.Context, version string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTime+watchGrace)
	defer cancel()
	query := url.Values{}
	maps.Copy(query, c.Query)
	query.Set("watch", "true")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", version)
	query.Set("timeoutSeconds", strconv.Itoa(int(watchTime.Seconds())))
	response, err := c.Client.send(ctx, http.MethodGet, c.Path, query, "", nil)
	if HasCode(err, http.StatusGone, http.StatusBadRequest) {
		err = errors.Join(err, errRelist)
	}
	if err != nil {
		return version, err
	}
	defer response.Body.Close()
	for d := json.NewDecoder(response.Body); ; {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			return version, nil
		} else if err != nil {
			return version, fmt.Errorf("watch %s: %w", c.Path, err)
		}
		next, err := c.apply(event.Type, event.Object)
		if err != nil {
			return version, fmt.Errorf("watch %s: %w", c.Path, err)
		}
		version = next
	}
}

// apply applies one event of a watch (k8s.io/apimachinery, pkg/watch) and returns the version to go
// on from.
func (c *Cache[T]) apply(kind string, raw json.RawMessage) (string, error) {
	switch kind {
	case "ADDED", "MODIFIED", "DELETED":
	case "BOOKMARK":
		var mark struct {
			Metadata struct{ ResourceVersion string }
		}
		if err := json.Unmarshal(raw, &mark); err != nil || mark.Metadata.ResourceVersion == "" {
			return "", errors.Join(err, errRelist)
		}
		return mark.Metadata.ResourceVersion, nil
	case "ERROR":
		var status struct {
			Code    int
			Message string
		}
		err := json.Unmarshal(raw, &status)
		return "", errors.Join(err, &StatusError{Code: status.Code, Message: status.Message}, errRelist)
	default:
		return "", fmt.Errorf("unknown event %q: %w", kind, errRelist)
	}
	var item T
	if err := json.Unmarshal(raw, &item); err != nil {
		return "", errors.Join(err, errRelist)
	}
	key, version := item.Identity()
	if version == "" {
		return "", fmt.Errorf("%s without resourceVersion: %w", key, errRelist)
	}
	c.mu.Lock()
	if kind == "DELETED" {
		delete(c.items, key)
	} else {
		c.items[key] = item
	}
	c.mu.Unlock()
	c.Changed()
	return version, nil
}
