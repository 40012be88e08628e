// Package tiny has mutants whose outcomes are known; see mutants_test.go.
package tiny

type box struct{ items []int }

// add has a test for both of its statements.
func (b *box) add(n int) {
	if n < 0 {
		panic("negative")
	}
	b.items = append(b.items, n)
}

// larger has tests that cannot tell > from >=.
func larger(a, b int) int {
	if a > b {
		return a
	}
	return b
}

// untested has no test.
func untested(a, b bool) bool {
	if !a {
		return false
	}
	return a && b
}

// count ends because of its last statement.
func count(n int) (times int) {
	for n != 0 {
		times++
		n--
	}
	return times
}

// named does not compile without its only use of unused.
func named() string {
	unused := "a"
	name := "b"
	name = unused + name
	return name
}

func nothing() {}
