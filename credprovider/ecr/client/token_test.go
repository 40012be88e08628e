package client

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

func TestParseToken(t *testing.T) {
	now := time.Unix(1.7e9, 0)
	b64 := func(s string) *string {
		e := base64.StdEncoding.EncodeToString([]byte(s))
		return &e
	}
	at := func(d time.Duration) *time.Time {
		e := now.Add(d)
		return &e
	}
	bad := "canary!"
	good, err := parseToken(b64("AWS:pass:word"), at(12*time.Hour), now)
	if err != nil || good.Username != "AWS" || good.Password.Reveal() != "pass:word" || good.Expires.Sub(now) != 12*time.Hour {
		t.Errorf("%+v, %v", good, err)
	}
	for name, c := range map[string]struct {
		login   *string
		expires *time.Time
	}{
		"nothing":      {nil, nil},
		"no base64":    {&bad, at(time.Hour)},
		"no colon":     {b64("canary"), at(time.Hour)},
		"no user":      {b64(":canary"), at(time.Hour)},
		"no password":  {b64("AWS:"), at(time.Hour)},
		"header break": {b64("AWS:canary\r\nX: y"), at(time.Hour)},
		"expired":      {b64("AWS:canary"), at(-time.Hour)},
		"no expiry":    {b64("AWS:canary"), nil},
		"a year":       {b64("AWS:canary"), at(365 * 24 * time.Hour)},
	} {
		if got, err := parseToken(c.login, c.expires, now); err == nil {
			t.Errorf("%s: %+v", name, got)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: a secret shows: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("QVdTOng=", int64(1.7000432e9))
	f.Add("QVdTOng=", int64(1)<<62)
	f.Add("", int64(0))
	now := time.Unix(1.7e9, 0)
	f.Fuzz(func(t *testing.T, login string, seconds int64) {
		expires := time.Unix(seconds, 0)
		got, err := parseToken(&login, &expires, now)
		if err != nil {
			return
		}
		if got.Username == "" || got.Password.IsZero() || strings.ContainsAny(got.Username+got.Password.Reveal(), "\r\n \x00") {
			t.Errorf("%q:%q", got.Username, got.Password.Reveal())
		}
		if !got.Expires.After(now) || got.Expires.Sub(now) > ecr.MaxLife {
			t.Errorf("expires %s", got.Expires)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("no SECRET\nat all")
	f.Fuzz(func(t *testing.T, text string) {
		line := clean(text, "SECRET")
		if strings.Contains(line, "SECRET") || strings.ContainsAny(line, "\n\r\x00\x1b") || len(line) > maxForeign+4 {
			t.Errorf("%q", line)
		}
	})
}

func TestOutcomeOfCodes(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   ecr.Outcome
	}{
		{400, "AccessDeniedException", ecr.Denied}, {403, "AccessDenied", ecr.Denied}, {403, "", ecr.Denied},
		{400, "InvalidSignatureException", ecr.Rejected}, {403, "SignatureDoesNotMatch", ecr.Rejected}, {401, "", ecr.Rejected},
		{400, "ThrottlingException", ecr.Busy}, {503, "", ecr.Busy}, {500, "ServerException", ecr.Busy}, {400, "SomethingNewException", ecr.Busy}, {407, "", ecr.Busy},
	} {
		if got := refusalOutcome(c.status, c.code); got != c.want {
			t.Errorf("%d %q: %s, want %s", c.status, c.code, got, c.want)
		}
	}
}
