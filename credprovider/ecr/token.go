package ecr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// Token is a login for the registries of one region.
type Token struct {
	Username string
	Password redact.Secret
	// Issued and Expires are by this machine's clock, also when AWS's clock differs.
	Issued, Expires time.Time
}

// MaxLife is longer than the life of any token; ECR documents 12 hours.
const MaxLife = 7 * 24 * time.Hour

// registryToken calls GetAuthorizationToken:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html
func (c *caller) registryToken(ctx context.Context, r Registry, k keys) (Token, error) {
	a := tokenAPI(r, c.getenv)
	op := "get a token from " + a.service + " in " + a.region
	target := "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
	if r.Public {
		target = "SpencerFrontendService.GetAuthorizationToken"
	}
	answer, err := c.post(ctx, op, a, k, map[string]string{
		"Content-Type": "application/x-amz-json-1.1",
		"X-Amz-Target": target,
	}, "{}")
	if err != nil {
		return Token{}, err
	}
	t, err := parseToken(answer.body, answer.now)
	if err != nil {
		return Token{}, &Error{Outcome: Busy, Op: op, Err: err}
	}
	life := t.Expires.Sub(t.Issued)
	t.Issued = c.now()
	t.Expires = t.Issued.Add(life)
	return t, nil
}

// authorization is an entry of the answer: ECR returns a list, ECR Public a single one.
type authorization struct {
	Token     string  `json:"authorizationToken"` // base64 of user:password
	ExpiresAt float64 `json:"expiresAt"`          // seconds since 1970
}

// parseToken parses the answer of either API. now is the server's time. Errors quote nothing of it.
func parseToken(body []byte, now time.Time) (Token, error) {
	var envelope struct {
		Data json.RawMessage `json:"authorizationData"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return Token{}, errors.New("the answer is no JSON")
	}
	var a authorization
	var list []authorization
	if json.Unmarshal(envelope.Data, &list) == nil && len(list) > 0 {
		a = list[0]
	} else if json.Unmarshal(envelope.Data, &a) != nil {
		return Token{}, errors.New("the answer holds no authorizationData")
	}
	plain, err := base64.StdEncoding.DecodeString(a.Token)
	if err != nil {
		return Token{}, errors.New("the token is not base64")
	}
	user, password, ok := strings.Cut(string(plain), ":")
	if !ok || user == "" || password == "" || !Printable(user) || !Printable(password) {
		return Token{}, errors.New("the token is not user:password")
	}
	// A huge number must not overflow a time.
	if !(a.ExpiresAt > 0 && a.ExpiresAt < 1e11) {
		return Token{}, errors.New("the token has no usable expiry")
	}
	expires := time.UnixMilli(int64(a.ExpiresAt * 1000))
	if !expires.After(now) {
		return Token{}, errors.New("the token has expired already")
	}
	if expires.Sub(now) > MaxLife {
		return Token{}, errors.New("the token has no usable expiry")
	}
	return Token{Username: user, Password: redact.New(password), Issued: now, Expires: expires}, nil
}

// Printable reports whether s is visible ASCII, as username and password of ECR are: it has no
// control characters that could change a terminal or a log.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// assumeRole exchanges keys for those of a role:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (c *caller) assumeRole(ctx context.Context, r Registry, k keys, roleARN string) (keys, error) {
	a := roleAPI(r, c.getenv)
	op := "assume the role " + clean(roleARN)
	form := url.Values{
		"Action":          {"AssumeRole"},
		"Version":         {"2011-06-15"},
		"RoleArn":         {roleARN},
		"RoleSessionName": {"berth"},
	}
	answer, err := c.post(ctx, op, a, k, map[string]string{
		"Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
	}, form.Encode())
	if err != nil {
		return keys{}, err
	}
	var x struct {
		ID      string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Secret  string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		Session string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal(answer.body, &x); err != nil || x.ID == "" || x.Secret == "" {
		return keys{}, &Error{Outcome: Busy, Op: op, Err: errors.New("the answer holds no keys")}
	}
	return keys{id: x.ID, secret: x.Secret, session: x.Session}, nil
}
