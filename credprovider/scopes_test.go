package credprovider

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func TestScopes(t *testing.T) {
	n := newNode(t)
	if got, err := n.Scopes(); err != nil || len(got) != 0 {
		t.Errorf("a directory that is not there: %v, %v", got, err)
	}
	if _, err := os.Lstat(n.Dir); err == nil {
		t.Error("listing made the directory")
	}
	for _, host := range []string{usEast, "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "public.ecr.aws"} {
		if _, err := n.Get(t.Context(), registry(t, host)); err != nil {
			t.Fatal(err)
		}
	}
	n.SetRole("", fakeaws.Key{})
	n.advance(12 * time.Hour)
	n.get(t, staticKey.ID) // a second file of us-east-1
	for _, name := range []string{
		"ecr_profile_us-east-1.json.tmp", "ecr_profile_us-east-1.json.set-aside", "notes.txt", ".json", "ecr__us-east-1.json",
		"ecr_profile_.json", "ecr_profile_US-EAST-1.json", "ecr_profile_eu-west-1_x.json", "sts_profile_eu-west-1.json",
		"ecr_pro file_eu-west-1.json", "ecr-public_profile_eu-west-1.json", "ecr_" + strings.Repeat("a", 100) + "_eu-west-1.json",
		"ecr_profile_\xff.json", "ecr_profile_..json",
	} {
		if err := os.WriteFile(filepath.Join(n.Dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(n.Dir, "ecr_profile_cn-north-1.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := n.Scopes()
	want := []ecr.Registry{
		{Region: "cn-north-1", Partition: "aws-cn"}, // that it holds nothing, Cached says
		{Region: "us-east-1", Partition: "aws"},
		{Region: "us-gov-west-1", Partition: "aws-us-gov"},
		{Region: "us-east-1", Partition: "aws", Public: true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if _, ok := n.Cached(got[0]); ok {
		t.Error("a folder is a token")
	}
	if token, ok := n.Cached(got[1]); !ok || token.Source != "static keys" {
		t.Errorf("what was listed cannot be read: %+v", token)
	}
}

func TestScopesOfAnUnreadableDirectory(t *testing.T) {
	tokens := &Tokens{Dir: filepath.Join(t.TempDir(), "file")}
	if err := os.WriteFile(tokens.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Scopes(); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGood(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		life, now time.Duration
		want      bool
	}{
		{12 * time.Hour, 0, true},
		{12 * time.Hour, -time.Minute, true},
		{12 * time.Hour, -time.Minute - 1, false},
		{12 * time.Hour, 12*time.Hour - 5*time.Minute - 1, true},
		{12 * time.Hour, 12*time.Hour - 5*time.Minute, false},
		{time.Minute, 54*time.Second - 1, true},
		{time.Minute, 54 * time.Second, false},
		{0, 0, false},
		{-time.Hour, -2 * time.Hour, false},
	} {
		token := Token{Token: ecr.Token{Issued: issued, Expires: issued.Add(c.life)}}
		if got := token.Usable(issued.Add(c.now)); got != c.want {
			t.Errorf("a life of %s, at %s: %t", c.life, c.now, got)
		}
	}
}

// TestGoodIsAboutTheWallClock: on a machine that was suspended the monotonic
// clock says less.
func TestGoodIsAboutTheWallClock(t *testing.T) {
	now := time.Now()
	token := Token{Token: ecr.Token{Issued: now, Expires: now.Add(time.Hour)}}
	later := now.Round(0).Add(2 * time.Hour)
	if token.Usable(later) {
		t.Error("an expired token is good")
	}
	if want := now.Add(55 * time.Minute); !token.UsableUntil().Equal(want) {
		t.Errorf("it ends at %s, not %s", token.UsableUntil(), want)
	}
}
