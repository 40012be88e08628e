package credprovider

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// TestRenewMovesOn: a source that may no more is passed over, what the other
// one gave is stored, and the token that is left is used up.
func TestRenewMovesOn(t *testing.T) {
	n := newNode(t)
	ctx, r := context.Background(), registry(t, usEast)
	n.get(t, profileKey.ID)
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: profileKey.ID, Status: 400, Code: "AccessDeniedException"})
	renewed, err := n.Renew(ctx, r)
	if err != nil || renewed.Source != "static keys" {
		t.Fatalf("%+v, %v", renewed, err)
	}
	if b, err := os.ReadFile(n.file(renewed.Identity)); err != nil || !strings.Contains(string(b), renewed.Password.Reveal()) {
		t.Errorf("not stored: %v", err)
	}
	n.get(t, profileKey.ID)
	n.advance(12*time.Hour - 4*time.Minute)
	if _, err := n.Get(ctx, r); err != nil {
		t.Error(err)
	}
}

func TestNextRefresh(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	expires := issued.Add(12 * time.Hour)
	for _, c := range []struct {
		now  time.Duration
		rnd  float64
		want time.Duration
	}{
		{0, 0, 5*time.Hour + 24*time.Minute},
		{0, 0.5, 6 * time.Hour},
		{0, 0.9999999999, 6*time.Hour + 36*time.Minute},
		{7 * time.Hour, 0.5, 7 * time.Hour},
		{12*time.Hour - time.Minute, 0, 12*time.Hour - time.Minute},
		{13 * time.Hour, 0, 13 * time.Hour},
	} {
		now := issued.Add(c.now)
		if got := NextRefresh(now, issued, expires, c.rnd).Sub(issued).Round(time.Second); got != c.want {
			t.Errorf("at %s with %g: %s, want %s", c.now, c.rnd, got, c.want)
		}
	}
	if got := NextRefresh(issued, issued, issued, 0.5); got != issued {
		t.Errorf("a token without a life: %s", got)
	}
}
