package fakekube

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if !ok {
		answerStatus(w, http.StatusNotFound, "no such path")
		return
	}
	s.mu.Lock()
	fault, authorized := s.fault(r), slices.ContainsFunc(s.tokens, func(t string) bool { return r.Header.Get("Authorization") == "Bearer "+t })
	method, watch := r.Method, r.URL.Query().Get("watch") == "true"
	if watch {
		method = "WATCH"
	}
	collection, name := split(path)
	s.counts[method+" "+collection[strings.LastIndex(collection, "/")+1:]]++
	s.mu.Unlock()
	switch {
	case fault == Dropped:
		panic(http.ErrAbortHandler)
	case !authorized:
		answerStatus(w, http.StatusUnauthorized, "Unauthorized")
		return
	case fault == TooMany:
		w.Header().Set("Retry-After", "1")
		answerStatus(w, http.StatusTooManyRequests, "please try again later")
		return
	case fault == Broken:
		answerStatus(w, http.StatusInternalServerError, "etcdserver: request timed out")
		return
	case fault == Conflict:
		answerStatus(w, http.StatusConflict, "the object has been modified")
		return
	case fault == Gone:
		answerStatus(w, http.StatusGone, "too old resource version")
		return
	case fault == Slow:
		time.Sleep(5 * time.Second)
	}
	switch {
	case watch:
		s.watch(w, r, collection, fault)
		return
	case r.Method == http.MethodPatch:
		s.patch(w, r, path, fault)
	case r.Method == http.MethodGet && name != "":
		s.mu.Lock()
		object := clone(s.objects[path])
		s.mu.Unlock()
		if object == nil {
			answerStatus(w, http.StatusNotFound, path+" not found")
			return
		}
		answer(w, http.StatusOK, object, fault)
	case r.Method == http.MethodGet:
		s.list(w, r, collection, fault)
	default:
		answerStatus(w, http.StatusMethodNotAllowed, r.Method)
	}
}

// split returns the collection of a path, and the name of the object if it names one.
func split(path string) (collection, name string) {
	parts := strings.Split(path, "/")
	if parts[0] == "namespaces" && len(parts) == 4 || parts[0] != "namespaces" && len(parts) == 2 {
		return strings.Join(parts[:len(parts)-1], "/"), parts[len(parts)-1]
	}
	return path, ""
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, collection string, fault Fault) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 1 << 30
	}
	from := r.URL.Query().Get("continue")
	s.mu.Lock()
	items := []Object{}
	next := ""
	for _, path := range slices.Sorted(maps.Keys(s.objects)) {
		if c, _ := split(path); c != collection || path < from || !selected(r, s.objects[path]) {
			continue
		}
		if len(items) == limit {
			next = path
			break
		}
		items = append(items, clone(s.objects[path]))
	}
	version := strconv.Itoa(s.version)
	s.mu.Unlock()
	answer(w, http.StatusOK, Object{
		"metadata": Object{"resourceVersion": version, "continue": next}, "items": items,
	}, fault)
}

// selected reports whether an object matches the labelSelector of a request, which has only
// equalities.
func selected(r *http.Request, o Object) bool {
	selector := r.URL.Query().Get("labelSelector")
	if selector == "" {
		return true
	}
	labels, _ := Metadata(o)["labels"].(Object)
	for one := range strings.SplitSeq(selector, ",") {
		key, value, _ := strings.Cut(one, "=")
		if labels[key] != value {
			return false
		}
	}
	return true
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, path string, fault Fault) {
	var patch Object
	if err := json.NewDecoder(r.Body).Decode(&patch); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
		answerStatus(w, http.StatusBadRequest, fmt.Sprint("no merge patch: ", err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[path]
	if old == nil {
		answerStatus(w, http.StatusNotFound, path+" not found")
		return
	}
	if v, ok := Metadata(patch)["resourceVersion"]; ok && v != Metadata(old)["resourceVersion"] {
		answerStatus(w, http.StatusConflict, "the object has been modified; please apply your changes to the latest version")
		return
	}
	after := s.change(path, func(o Object) Object { return merge(o, patch) })
	s.patched(clone(old), after)
	answer(w, http.StatusOK, after, fault)
}

// merge is a merge patch: RFC 7386.
func merge(o, patch Object) Object {
	if o == nil {
		o = Object{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(o, key)
		case Object:
			below, _ := o[key].(Object)
			o[key] = merge(below, value)
		default:
			o[key] = value
		}
	}
	return o
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request, collection string, fault Fault) {
	version, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		answerStatus(w, http.StatusBadRequest, "resourceVersion")
		return
	}
	s.mu.Lock()
	tooOld := version < s.oldest
	s.mu.Unlock()
	if tooOld {
		answerStatus(w, http.StatusGone, "too old resource version")
		return
	}
	seconds, _ := strconv.Atoi(r.URL.Query().Get("timeoutSeconds"))
	end := time.NewTimer(time.Duration(seconds) * time.Second)
	defer end.Stop()
	w.WriteHeader(http.StatusOK)
	flush := w.(http.Flusher).Flush
	flush()
	write := func(kind string, o Object) {
		raw, err := json.Marshal(Object{"type": kind, "object": o})
		if err != nil {
			panic(err)
		}
		if fault == Cut {
			_, _ = w.Write(raw[:len(raw)/2])
			flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(append(raw, '\n'))
		flush()
	}
	if fault == Expired {
		write("ERROR", Object{"code": http.StatusGone, "message": "too old resource version"})
		return
	}
	for {
		s.mu.Lock()
		if version < s.oldest {
			s.mu.Unlock()
			write("ERROR", Object{"code": http.StatusGone, "message": "too old resource version"})
			return
		}
		var fresh []event
		for _, e := range s.events {
			if e.version > version {
				fresh = append(fresh, e)
			}
		}
		version = s.version
		grown := s.grown
		s.mu.Unlock()
		for _, e := range fresh {
			if c, _ := split(e.path); c == collection && selected(r, e.object) {
				write(e.kind, e.object)
			}
		}
		write("BOOKMARK", Object{"metadata": Object{"resourceVersion": strconv.Itoa(version)}})
		select {
		case <-grown:
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func answer(w http.ResponseWriter, code int, o Object, fault Fault) {
	if fault == Lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o) // the client may be gone
}

func answerStatus(w http.ResponseWriter, code int, message string) {
	answer(w, code, Object{"kind": "Status", "code": code, "message": message}, None)
}
