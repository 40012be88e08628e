package tomldoc_test

import (
	"bytes"
	"testing"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// FuzzSet checks that the output is the document with one piece inserted or one value replaced, and
// that setting the same value twice changes nothing. Set itself checks with the library's decoder
// that nothing else differs.
func FuzzSet(f *testing.F) {
	for _, seed := range []string{
		"", "a = 1", "\ufeffa.b = {c = 'd'}\r\n", "[plugins]\n  [plugins.\"io.x.cri\"] # x\n    y = [\n1,]\n",
		"[plugins.'io.x.cri'.registry.mirrors]\n[[z]]\n", "plugins = {'io.x.cri'.registry={}}",
		"[plugins]\n'io.x.cri'.registry.config_path = '''\nx'''\n", "plugins.'io.x.cri'.x = 1 # no end",
		"[plugins.\"io.x.cri\".registry]\nconfig_path = [ {a=1}, {b=[2]} ]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := tomldoc.Parse(data)
		if err != nil {
			return
		}
		for _, f := range doc.Root().Fields {
			doc.Position(f.Value.Offset)
		}
		absent := doc.Field(at...) == nil
		out, err := doc.Set("/certs", at...)
		if err != nil {
			return
		}
		if same := common(data, out); absent && same < len(data) {
			t.Errorf("more than one piece was put in: %q became %q", data, out)
		}
		again, err := tomldoc.Parse(out)
		if err != nil {
			t.Fatalf("%v: %q became %q", err, data, out)
		}
		if twice, err := again.Set("/certs", at...); err != nil || !bytes.Equal(twice, out) {
			t.Errorf("the second time: %v: %q became %q", err, out, twice)
		}
		if gone, err := again.Remove(at...); err == nil {
			if left, err := tomldoc.Parse(gone); err != nil || left.Field(at...) != nil {
				t.Errorf("%v: removed from %q: %q", err, out, gone)
			}
		}
	})
}

// common returns the length of the common prefix and suffix of a and b.
func common(a, b []byte) int {
	from, to := 0, 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		from++
	}
	for to < len(a)-from && to < len(b)-from && a[len(a)-1-to] == b[len(b)-1-to] {
		to++
	}
	return from + to
}
