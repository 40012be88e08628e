package watch

import (
	"fmt"
	"testing"
)

// thousand is a reader of a thousand secrets and a tree of a thousand hosts.
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

// What each turn of the caller's loop pays.
func BenchmarkSetUnchanged(b *testing.B) {
	r, files, trees := thousand(b)
	b.ReportAllocs()
	for b.Loop() {
		r.w.Set(files, trees)
	}
}

// What a config with one more, or one less, file costs.
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

// What a resync pays.
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
