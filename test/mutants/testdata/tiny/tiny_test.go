package tiny

import "testing"

func TestAll(t *testing.T) {
	var b box
	b.add(1)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a negative number is taken")
			}
		}()
		b.add(-1)
	}()
	if len(b.items) != 1 {
		t.Error("add adds nothing")
	}
	if larger(1, 2) != 2 || larger(2, 1) != 2 {
		t.Error("larger gives the smaller one")
	}
	if count(2) != 2 {
		t.Error("count")
	}
	nothing()
}
