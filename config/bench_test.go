package config

import (
	"fmt"
	"strings"
	"testing"
)

func manyMirrors(n int) []byte {
	var b strings.Builder
	b.WriteString(head + "mirrors:\n")
	for i := range n {
		fmt.Fprintf(&b, "- upstream: registry-%d.corp\n  endpoints:\n", i)
		for j := range 3 {
			fmt.Fprintf(&b, "  - url: https://mirror-%d.corp:5000/prefix-%d\n    dialTimeout: 3s\n", j, i)
		}
	}
	b.WriteString("registries:\n- {host: mirror-1.corp, username: u, password: p}\n")
	return []byte(b.String())
}

// BenchmarkParse parses documents of many mirrors with three endpoints each.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 100, 1_000, 3_000} {
		document := manyMirrors(n)
		b.Run(fmt.Sprintf("mirrors=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Parse("config.yaml", document); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
