package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/redact"
)

// TestHelperIsAskedAgain: a run that outlives the answer of a credential helper asks it again; one
// that fails is asked once a minute, and its last answer serves as long as it can be used.
func TestHelperIsAskedAgain(t *testing.T) {
	begin := time.Now()
	now := begin
	asked, broken := 0, false
	source := credprovider.HelperSource{Registry: "gcr.io", Program: "gcr", Refresh: 30 * time.Minute, MaxStale: 2 * time.Hour}
	first := credprovider.HelperLogin{Registry: "gcr.io", Program: "gcr", Username: "u", Password: redact.New("first"), Issued: begin}
	h := NewHelpers([]credprovider.HelperSource{source}, credprovider.HelperLogins{"gcr.io": first},
		func(context.Context, credprovider.HelperSource) (credprovider.HelperLogin, error) {
			asked++
			if broken {
				return credprovider.HelperLogin{}, errors.New("broken")
			}
			l := first
			l.Password, l.Issued, l.Expires = redact.New(fmt.Sprint("answer ", asked)), now, now.Add(20*time.Minute)
			return l, nil
		})
	h.now = func() time.Time { return now }
	auth := authenticatorOf(h, credprovider.Login{Host: "gcr.io", Helper: "gcr"})
	for _, step := range []struct {
		minute int
		broken bool
		want   string // "" for an error
		asked  int
	}{
		{0, false, "first", 0},
		{29, false, "first", 0},
		{30, false, "answer 1", 1}, // refresh
		{44, false, "answer 1", 1},
		{45, false, "answer 2", 2}, // three quarters of its own life
		{60, true, "answer 2", 3},
		{60, true, "answer 2", 3}, // not with each request
		{61, true, "answer 2", 4},
		{66, true, "", 5}, // it has expired
		{66, false, "answer 6", 6},
	} {
		now, broken = begin.Add(time.Duration(step.minute)*time.Minute), step.broken
		c, err := auth.Authorization()
		switch missing := (*credprovider.NoHelperLoginError)(nil); {
		case step.want == "" && !errors.As(err, &missing):
			t.Errorf("minute %d: %v", step.minute, err)
		case step.want != "" && (err != nil || c.Username != "u" || c.Password != step.want):
			t.Errorf("minute %d: %v, %v, not %s", step.minute, c, err, step.want)
		}
		if asked != step.asked {
			t.Errorf("minute %d: asked %d times, not %d", step.minute, asked, step.asked)
		}
	}
}
