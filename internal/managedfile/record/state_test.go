package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
)

func FuzzState(f *testing.F) {
	for _, s := range []string{"", "{}", "null", `{"version":1}`, `{"version":2,"files":[]}`,
		`{"version":1,"files":{"/a/b":{"scope":"x","written":{"sha256":"00","mode":"0644","uid":0,"gid":0}}},"dirs":{"/a":{"created":true}}}`,
		`{"version":1,"files":{"/a/b":{"original":{"kind":"file","copy":"../../etc/passwd"}}}}`,
		`{"version":1,"files":{"/a/b":null}}`, `{"version":1,"files":{"/a/b":{"linger":"x"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerState) {
				t.Errorf("%v", err)
			}
			return
		}
		for p, r := range st.Files {
			if nodefs.CheckPath(p) != nil || r.Original != nil && strings.Contains(r.Original.Copy, "/") {
				t.Errorf("%q: %v", p, r.Original)
			}
		}
		again, err := st.Encode()
		if err != nil {
			t.Fatal(err)
		}
		st, err = Decode(again)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if twice, _ := st.Encode(); !bytes.Equal(again, twice) {
			t.Errorf("%s\n%s", again, twice)
		}
	})
}
