package health

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/node/probestate"
)

func TestChallengeSchemes(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="a"`: "basic", `bearer realm="https://x/t",service="y, Basic z"`: "bearer", `Bearer realm="a\", Basic \"",scope="b"`: "bearer",
		`Negotiate, Basic realm="x"`: "basic negotiate", `Bearer a="b", Basic realm="c"`: "basic bearer", "": "", `"`: "", `, ,`: "",
	} {
		var got []string
		for s := range challengeSchemes([]string{header}) {
			got = append(got, s)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestFirstStrings(t *testing.T) {
	any := func(string) bool { return true }
	for _, c := range []struct {
		text string
		want string
	}{
		{`{"tags":["a","b","c"]}`, "a b"},
		{`{"x":{"tags":["no"]},"y":[1,{"a":2}],"tags":["a"]}`, "a"},
		{`{"tags":null}`, ""},
		{`{"tags":["a","b"` + strings.Repeat(" ", 10), "a b"}, // stops at the limit
		{`{"tags":["a",3]}`, "a"},
		{`{"tags":"a"}`, ""}, {`[]`, ""}, {``, ""}, {`{`, ""}, {`{"x"`, ""},
	} {
		got, _ := firstStrings(strings.NewReader(c.text), "tags", 2, any)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

// A name from a registry must not lead to another path.
func TestForeignNames(t *testing.T) {
	for _, n := range []string{"../x", "a/../b", "a//b", "/a", "a/", "A", "a?b", "a#b", "a%2fb", "a b", "", "a\n"} {
		if repositoryName.MatchString(n) {
			t.Errorf("repository %q", n)
		}
	}
	for _, n := range []string{"..", ".", "-a", "a/b", "a?b", "", "a\n", strings.Repeat("a", 129)} {
		if tagName.MatchString(n) {
			t.Errorf("tag %q", n)
		}
	}
	for _, n := range []string{"sha256:../../x", "sha256", "sha256:" + strings.Repeat("a", 8), "sha256:" + strings.Repeat("a", 64) + "?x"} {
		if digestForm.MatchString(n) {
			t.Errorf("digest %q", n)
		}
	}
	if !repositoryName.MatchString("library/a.b__c-d") || !tagName.MatchString("v1.0_x-y") || !digestForm.MatchString(blobDigest) {
		t.Error("good names are refused")
	}
}

// A list without an end is not read to its end.
func TestEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &endless{head: `{"repositories":["`}
		network := answers(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "_catalog") {
				resp := status(200)
				resp.Body = list
				return resp, nil
			}
			return status(404), nil
		})
		p := New(Options{Transport: network.transport})
		p.Set(defaults(), []Endpoint{{URL: mustURL(t, "https://r.corp"), Authorization: goodLogin, Learn: true}})
		run(t, p)
		time.Sleep(time.Second)
		if f := p.Learned(); len(f) != 1 || f[0].Redirect != probestate.Unknown || f[0].Error != "" {
			t.Errorf("%+v", f)
		}
		if list.read == 0 || list.read > maxListBytes || !list.closed {
			t.Errorf("%d bytes read, closed: %v", list.read, list.closed)
		}
	})
}

// endless is a body of one very long name.
type endless struct {
	head   string
	read   int
	closed bool
}

func (e *endless) Read(b []byte) (int, error) {
	if e.read > 64<<20 {
		return 0, io.EOF
	}
	for i := range b {
		b[i] = 'a'
	}
	if e.read == 0 {
		copy(b, e.head)
	}
	e.read += len(b)
	return len(b), nil
}

func (e *endless) Close() error { e.closed = true; return nil }

func FuzzForeignAnswers(f *testing.F) {
	f.Add(`{"repositories":["a"]}`, `Basic realm="x", Bearer y="z"`, "https://r.corp:9000/x")
	f.Add(`{"tags":["a"]}`, `"`, "//x")
	f.Fuzz(func(t *testing.T, text, header, location string) {
		found, _ := firstStrings(strings.NewReader(text), "tags", 2, tagName.MatchString)
		if len(found) > 2 {
			t.Errorf("%q", found)
		}
		for s := range challengeSchemes([]string{header}) {
			if s == "" || strings.ContainsAny(s, `="`) {
				t.Errorf("scheme %q", s)
			}
		}
		u := mustURL(t, "https://r.corp")
		where, to := newLoginProbe(Endpoint{URL: u}, nil, 0).classifyRedirect("/v2/x", reply{status: 307, location: location})
		if to != "" && where != probestate.OtherPort {
			t.Errorf("%s to %q", where, to)
		}
		if to != "" && !strings.HasPrefix(to, "r.corp") {
			t.Errorf("%q is shown for a host of the registry", to)
		}
		if dest, err := url.Parse(location); err == nil && strings.EqualFold(dest.Hostname(), "r.corp") && where == probestate.OtherHost {
			t.Errorf("%q counts as another host", location)
		}
	})
}
