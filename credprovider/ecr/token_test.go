package ecr

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	for o, want := range map[Outcome]Decision{
		Unreachable: {Remember: 10 * time.Minute},
		HopLimit:    {Remember: 10 * time.Minute},
		NotEC2:      {Remember: 10 * time.Minute},
		NoRole:      {Remember: 5 * time.Minute},
		Denied:      {Remember: 15 * time.Minute},
		Rejected:    {Again: true, Remember: 5 * time.Minute},
		Busy:        {Again: true, Stay: true, Remember: 10 * time.Second},
		NoKeys:      {},
	} {
		if got := Decide(&Error{Outcome: o, Op: "x"}); got != want {
			t.Errorf("%s: %+v, want %+v", o, got, want)
		}
	}
	if got := Decide(errors.New("anything else")); !got.Stay {
		t.Errorf("an unknown error: %+v", got)
	}
	if got := Decide(&Error{Outcome: Busy, RetryAfter: time.Second}).Remember; got != 10*time.Second {
		t.Errorf("a short Retry-After: %s", got)
	}
}

func TestParseToken(t *testing.T) {
	now := time.Unix(1.7e9, 0)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	entry := func(token, expires string) string {
		return `{"authorizationToken":"` + token + `","expiresAt":` + expires + `}`
	}
	good := entry(b64("AWS:pass:word"), "1.7000432e9")
	for _, body := range []string{`{"authorizationData":[` + good + `]}`, `{"authorizationData":` + good + `}`} {
		got, err := parseToken([]byte(body), now)
		if err != nil || got.Username != "AWS" || got.Password.Reveal() != "pass:word" || got.Expires.Sub(now) != 12*time.Hour {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for name, body := range map[string]string{
		"nothing":      ``,
		"null":         `null`,
		"empty list":   `{"authorizationData":[]}`,
		"string":       `{"authorizationData":"canary"}`,
		"no base64":    `{"authorizationData":` + entry("canary!", "1.7000432e9") + `}`,
		"no colon":     `{"authorizationData":` + entry(b64("canary"), "1.7000432e9") + `}`,
		"no user":      `{"authorizationData":` + entry(b64(":canary"), "1.7000432e9") + `}`,
		"no password":  `{"authorizationData":` + entry(b64("AWS:"), "1.7000432e9") + `}`,
		"header break": `{"authorizationData":` + entry(b64("AWS:canary\r\nX: y"), "1.7000432e9") + `}`,
		"expired":      `{"authorizationData":` + entry(b64("AWS:canary"), "1.6e9") + `}`,
		"no expiry":    `{"authorizationData":{"authorizationToken":"` + b64("AWS:canary") + `"}}`,
		"for ever":     `{"authorizationData":` + entry(b64("AWS:canary"), "1e300") + `}`,
		"a year":       `{"authorizationData":` + entry(b64("AWS:canary"), "1.74e9") + `}`,
	} {
		if got, err := parseToken([]byte(body), now); err == nil {
			t.Errorf("%s: %+v", name, got)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: a secret shows: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"authorizationData":[{"authorizationToken":"QVdTOng=","expiresAt":1.7000432e9}]}`))
	f.Add([]byte(`{"authorizationData":{"authorizationToken":"QVdTOng=","expiresAt":1e400}}`))
	f.Add([]byte(`{"authorizationData":[null]}`))
	now := time.Unix(1.7e9, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseToken(body, now)
		if err != nil {
			return
		}
		if got.Username == "" || got.Password.IsZero() || strings.ContainsAny(got.Username+got.Password.Reveal(), "\r\n \x00") {
			t.Errorf("%q:%q", got.Username, got.Password.Reveal())
		}
		if !got.Expires.After(now) || got.Expires.Sub(now) > MaxLife {
			t.Errorf("expires %s", got.Expires)
		}
	})
}

func FuzzAWSError(f *testing.F) {
	f.Add([]byte(`{"__type":"x#AccessDeniedException","message":"no SECRET"}`))
	f.Add([]byte(`<ErrorResponse><Error><Code>AccessDenied</Code><Message>no SECRET</Message></Error></ErrorResponse>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := awsError(nil, body)
		line := clean(code) + clean(message, "SECRET")
		if strings.Contains(clean(message, "SECRET"), "SECRET") || strings.ContainsAny(line, "\n\r\x00\x1b") || len(line) > 2*maxForeign+8 {
			t.Errorf("%q", line)
		}
	})
}

func TestOutcomeOfCodes(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   Outcome
	}{
		{400, "AccessDeniedException", Denied}, {403, "AccessDenied", Denied}, {403, "", Denied},
		{400, "InvalidSignatureException", Rejected}, {403, "SignatureDoesNotMatch", Rejected}, {401, "", Rejected},
		{400, "ThrottlingException", Busy}, {503, "", Busy}, {500, "ServerException", Busy}, {400, "SomethingNewException", Busy}, {407, "", Busy},
	} {
		if got := refusalOutcome(c.status, c.code); got != c.want {
			t.Errorf("%d %q: %s, want %s", c.status, c.code, got, c.want)
		}
	}
}
