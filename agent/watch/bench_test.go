package watch

import (
	"fmt"
	"testing"
)

// thousand is a reader of a thousand secrets and of a tree with a thousand hosts.
func thousand(b *testing.B) (r *reader, files, trees []string) {
	r = prepare(b, nil, nil)
	var names []string
	for i := range 1000 {
		r.mkdir(fmt.Sprintf("certs.d/host%03d", i))
		names = append(names, fmt.Sprintf("secrets/password%03d", i))
	}
	r.mkdir("secrets")
	r.retarget(names, []string{"certs.d"})
	r.start(New(r.options(Options{})))
	r.settle()
	return r, r.files, r.trees
}

// The cost of Set in each run of the caller's loop.
func BenchmarkSetUnchanged(b *testing.B) {
	r, files, trees := thousand(b)
	b.ReportAllocs()
	for b.Loop() {
		r.w.Set(files, trees)
	}
}

// The cost of a config with one file more or less.
func BenchmarkGraphSetOneChanged(b *testing.B) {
	r, files, trees := thousand(b)
	n, err := openFsnotify()
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(n, r.options(Options{Root: "/"}))
	defer s.close()
	s.graph.set(files, trees)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.graph.set(files[i%2:], trees)
	}
}

// The cost of a resync.
func BenchmarkAudit(b *testing.B) {
	r, files, trees := thousand(b)
	n, err := openFsnotify()
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(n, r.options(Options{Root: "/"}))
	defer s.close()
	s.graph.set(files, trees)
	b.ReportAllocs()
	for b.Loop() {
		s.graph.audit()
	}
}
