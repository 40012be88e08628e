package imagestest

import "testing"

// The comparison fails on every change that a rewrite must not make.
func TestOutsideControl(t *testing.T) {
	const before = "# c\nimage: a:1 # d\nlabel: x\n"
	for _, after := range []string{
		"# c\nimage: reg.corp:5000/m/library/a:1  # d\nlabel: x\n", "image: reg.corp:5000/m/library/a:1 # d\nlabel: x\n",
		"# c\nimage: reg.corp:5000/m/library/a:1 # d\nlabel: y\n", "# e\nimage: reg.corp:5000/m/library/a:1 # d\nlabel: x\n",
		"# c\r\nimage: reg.corp:5000/m/library/a:1 # d\nlabel: x\n", "# c\nimage: [a:1] # d\nlabel: x\n",
	} {
		if Outside(before, after) == nil {
			t.Errorf("%q passed", after)
		}
	}
	if err := Outside(before, "# c\nimage: 'reg.corp:5000/m/library/a:1' # d\nlabel: x\n"); err == nil {
		t.Error("quotes that were not there passed")
	}
	if err := Outside(before, "# c\nimage: reg.corp:5000/m/library/a:1 # d\nlabel: x\n"); err != nil {
		t.Error(err)
	}
}
