package ecr

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/proxy"
)

const (
	callTimeout = 5 * time.Second // of one request to ECR or STS
	callMax     = 256 << 10       // bytes of an answer; a token has some 3,000
)

// keys are the AWS credentials that sign a request.
type keys struct{ id, secret, session string }

// caller sends signed requests.
type caller struct {
	http   *http.Client
	getenv func(string) string
	now    func() time.Time
	signer *v4.Signer
	limit  time.Duration // of one request
	// skew is how far AWS's clock was ahead of ours at its last answer, in nanoseconds. A second
	// try after a refusal is signed with AWS's time.
	skew atomic.Int64
}

func newCaller(p proxy.Settings, getenv func(string) string, now func() time.Time) *caller {
	return &caller{
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:              p.Or(proxy.FromEnvironment(getenv)).Func(),
				DisableKeepAlives:  true, // one request in hours
				ForceAttemptHTTP2:  true,
				DisableCompression: true, // the limit of the answer then holds on the wire
			},
			CheckRedirect: noRedirect,
		},
		getenv: getenv,
		now:    now,
		signer: v4.NewSigner(),
		limit:  callTimeout,
	}
}

// reply is an answer of status 200.
type reply struct {
	body []byte
	// now is the time by AWS's clock.
	now time.Time
}

// post sends one signed request to a. Errors are of type *Error and hold no secret.
func (c *caller) post(ctx context.Context, op string, a api, k keys, header map[string]string, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.url, "/")+"/", strings.NewReader(body))
	if err != nil {
		return reply{}, &Error{Outcome: Busy, Op: op, Err: errors.New("the endpoint is not a url")}
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "berth")
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session}
	err = c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), a.service, a.region, c.awsTime())
	if err != nil {
		return reply{}, &Error{Outcome: Rejected, Op: op, Err: errors.New("the request cannot be signed")}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, &Error{Outcome: Busy, Op: op, Err: plainNet(err)}
	}
	defer resp.Body.Close()
	now := c.learnTime(resp.Header.Get("Date"))
	answer, err := readBounded(resp.Body, callMax)
	if err != nil {
		return reply{}, &Error{Outcome: Busy, Op: op, Err: plainNet(err)}
	}
	if resp.StatusCode != http.StatusOK {
		return reply{}, refusal(op, resp, answer, k)
	}
	return reply{body: answer, now: now}, nil
}

// awsTime returns the time that signatures use.
func (c *caller) awsTime() time.Time {
	return c.now().Add(time.Duration(c.skew.Load()))
}

// learnTime stores the offset of AWS's clock, from the Date of an answer, and returns AWS's time.
// Small differences are ignored.
func (c *caller) learnTime(date string) time.Time {
	own := c.now()
	theirs, err := http.ParseTime(date)
	if err != nil {
		return own
	}
	skew := theirs.Sub(own)
	if skew.Abs() < clockSlack {
		skew = 0
	}
	c.skew.Store(int64(skew))
	return own.Add(skew)
}

// refusal returns the error for an answer whose status is not 200.
func refusal(op string, resp *http.Response, body []byte, k keys) error {
	code, message := awsError(resp.Header, body)
	e := &Error{Outcome: refusalOutcome(resp.StatusCode, code), Op: op, RetryAfter: retryAfter(resp.Header)}
	switch {
	case code == "":
		e.Err = fmt.Errorf("it answered %d", resp.StatusCode)
	case message == "":
		e.Err = fmt.Errorf("%d %s", resp.StatusCode, clean(code, k.secret, k.session))
	default:
		e.Err = fmt.Errorf("%d %s: %s", resp.StatusCode, clean(code, k.secret, k.session), clean(message, k.secret, k.session))
	}
	return e
}

// awsError parses an error of either protocol: JSON 1.1 (ECR) or query (STS).
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
func awsError(h http.Header, body []byte) (code, message string) {
	var j struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // matches "Message", too
	}
	var x struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	switch body = bytes.TrimSpace(body); {
	case len(body) > 0 && body[0] == '{' && json.Unmarshal(body, &j) == nil:
		code, message = j.Type, j.Message
		if code == "" {
			code = j.Code
		}
	case len(body) > 0 && body[0] == '<' && xml.Unmarshal(body, &x) == nil:
		code, message = x.Code, x.Message
	}
	if code == "" {
		code = h.Get("X-Amzn-Errortype")
	}
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	code, _, _ = strings.Cut(code, ":")
	return code, message
}

// refusalOutcome decides by AWS's code, or by the status when there is no code.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
func refusalOutcome(status int, code string) Outcome {
	switch strings.TrimSuffix(code, "Exception") {
	case "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "OptInRequired":
		return Denied
	case "ExpiredToken", "ExpiredTokenId", "UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId",
		"InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
		"AuthFailure", "RequestExpired", "RequestTimeTooSkewed":
		return Rejected
	case "":
	default:
		return Busy
	}
	switch status {
	case http.StatusUnauthorized:
		return Rejected
	case http.StatusForbidden:
		return Denied
	}
	return Busy
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// maxForeign is the longest part of a foreign text in an error, in bytes.
const maxForeign = 300

// clean returns the first line of a foreign text, printable and without secrets. AWS may quote
// them: it answers a bad signature with the canonical request.
func clean(text string, secrets ...string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return neterr.Line(text, maxForeign)
}
