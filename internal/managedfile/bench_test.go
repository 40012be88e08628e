package managedfile

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func manyHosts(n int) []File {
	var files []File
	for i := range n {
		files = append(files, hosts(fmt.Sprintf("host%05d.example", i), strings.Repeat("x", 350)+"\n"))
	}
	return files
}

func benchWorld(b *testing.B) *world {
	b.Helper()
	w := openWorld(b, b.TempDir())
	b.Cleanup(w.close)
	return w
}

var sizes = []int{10, 100, 1000, 10000}

func BenchmarkObserveAndPlan(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, files := benchWorld(b), manyHosts(n)
			w.apply(files...)
			for b.Loop() {
				w.plan(files...)
			}
		})
	}
}

func BenchmarkNothingToDo(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, files := benchWorld(b), manyHosts(n)
			w.apply(files...)
			for b.Loop() {
				w.restart() // as a new process
				w.apply(files...)
			}
		})
	}
}

func BenchmarkFirstApply(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, files := benchWorld(b), manyHosts(n)
			for b.Loop() {
				w.apply(files...)
				b.StopTimer()
				if _, err := w.store.Restore(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkOneChange(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, files := benchWorld(b), manyHosts(n)
			w.apply(files...)
			for i := 0; b.Loop(); i++ {
				files[n/2].Body = fmt.Appendf(nil, "%d\n", i)
				w.apply(files...)
			}
		})
	}
}
