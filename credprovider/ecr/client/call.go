package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/proxy/transport"
	"github.com/berth-registry/berth/internal/redact"
)

const (
	callTimeout = 5 * time.Second // of one request to ECR or STS
	callMax     = 256 << 10       // bytes of an answer; a token has some 3,000
	// clockSlack is the difference between AWS's clock and ours that is ignored.
	clockSlack = time.Minute
)

func getenv(name string) string { return os.Getenv(name) }

// onlyHTTP1 spares HTTP/2, which a connection for one request has no use for.
var onlyHTTP1 = func() (p http.Protocols) { p.SetHTTP1(true); return p }()

// webClient returns the HTTP client for ECR and STS.
func (c *Client) webClient(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Transport: bounded{&http.Transport{
			Proxy:              proxy,
			DisableKeepAlives:  true, // one request in hours
			Protocols:          &onlyHTTP1,
			DisableCompression: true, // the limit of the answer then holds on the wire
		}, callMax, c.learnTime},
		CheckRedirect: noRedirect,
	}
}

// localClient returns the HTTP client for the metadata services of this machine. It uses no proxy:
// the keys would pass it. With keep it uses a connection again, and the caller closes idle ones.
func localClient(keep bool) *http.Client {
	return &http.Client{
		Transport:     bounded{&http.Transport{Proxy: nil, DisableKeepAlives: !keep, Protocols: &onlyHTTP1}, metadataMax, func(string) {}},
		CheckRedirect: noRedirect,
	}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bounded limits the size of each answer, which the SDK does not, and passes its Date on.
type bounded struct {
	http.RoundTripper
	most int64 // bytes
	date func(string)
}

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		b.date(response.Header.Get("Date"))
		response.Body = &boundedBody{response.Body, b.most, b.most}
	}
	return response, err
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (b bounded) CloseIdleConnections() {
	(&http.Client{Transport: b.RoundTripper}).CloseIdleConnections()
}

type boundedBody struct {
	io.ReadCloser
	left, most int64
}

// Read implements [io.Reader]. More than the limit is an error.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, tooLargeError(b.most)
	}
	return n, err
}

type tooLargeError int64

func (e tooLargeError) Error() string {
	return fmt.Sprintf("the answer is larger than %d bytes", int64(e))
}

// fixed returns a provider of one set of credentials.
func fixed(k aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return k, nil })
}

// registryToken calls GetAuthorizationToken:
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html
func (c *Client) registryToken(ctx context.Context, r ecr.Registry, k aws.Credentials) (ecr.Token, error) {
	op := "get a token from " + string(r.Service()) + " in " + r.Region
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	var login *string
	var expires *time.Time
	if r.Public {
		out, err := c.public(r).GetAuthorizationToken(ctx, nil, func(o *ecrpublic.Options) { o.Credentials = fixed(k) })
		if err != nil {
			return ecr.Token{}, failure(op, err, k)
		}
		if d := out.AuthorizationData; d != nil {
			login, expires = d.AuthorizationToken, d.ExpiresAt
		}
	} else {
		out, err := c.private(r).GetAuthorizationToken(ctx, nil, func(o *sdkecr.Options) { o.Credentials = fixed(k) })
		if err != nil {
			return ecr.Token{}, failure(op, err, k)
		}
		if d := out.AuthorizationData; len(d) > 0 {
			login, expires = d[0].AuthorizationToken, d[0].ExpiresAt
		}
	}
	t, err := parseToken(login, expires, c.awsTime())
	if err != nil {
		return ecr.Token{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: err}
	}
	life := t.Expires.Sub(t.Issued)
	t.Issued = c.now()
	t.Expires = t.Issued.Add(life)
	return t, nil
}

// parseToken returns the token of an answer. login is base64 of user:password; now is the server's
// time. Errors quote nothing of it.
func parseToken(login *string, expires *time.Time, now time.Time) (ecr.Token, error) {
	if login == nil {
		return ecr.Token{}, errors.New("the answer holds no authorizationData")
	}
	plain, err := base64.StdEncoding.DecodeString(*login)
	if err != nil {
		return ecr.Token{}, errors.New("the token is not base64")
	}
	user, password, ok := strings.Cut(string(plain), ":")
	if !ok || user == "" || password == "" || !ecr.Printable(user) || !ecr.Printable(password) {
		return ecr.Token{}, errors.New("the token is not user:password")
	}
	switch {
	case expires == nil || expires.Sub(now) > ecr.MaxLife:
		return ecr.Token{}, errors.New("the token has no usable expiry")
	case !expires.After(now):
		return ecr.Token{}, errors.New("the token has expired already")
	}
	return ecr.Token{Username: user, Password: redact.New(password), Issued: now, Expires: *expires}, nil
}

// unknown is the SDK's word for a code or message that an answer does not have.
const unknown = "UnknownError"

// failure returns the *[ecr.Error] for a failed call that k has signed.
func failure(op string, err error, k aws.Credentials) error {
	e := &ecr.Error{Outcome: ecr.Busy, Op: op}
	status := 0
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		status = response.HTTPStatusCode()
		e.RetryAfter = retryAfter(response.Response.Header)
	}
	var api smithy.APIError
	var undecoded *smithy.DeserializationError
	var tooLarge tooLargeError
	switch {
	case errors.As(err, &tooLarge):
		e.Err = tooLarge
	case errors.As(err, &api) && status != http.StatusOK:
		code, message := api.ErrorCode(), api.ErrorMessage()
		if code == unknown {
			code = ""
		}
		if message == unknown {
			message = ""
		}
		e.Outcome = refusalOutcome(status, code)
		e.Err = refusal(status, code, message, k)
	case status > 0 && status != http.StatusOK:
		e.Outcome = refusalOutcome(status, "")
		e.Err = refusal(status, "", "", k)
	case status > 0 && errors.As(err, &undecoded) && !isTimeout(err):
		e.Err = errors.New("the answer is no JSON")
	default:
		e.Err = plainNet(err)
	}
	return e
}

// refusal is the cause of an error for an answer with another status than 200.
func refusal(status int, code, message string, k aws.Credentials) error {
	if code == "" {
		return fmt.Errorf("it answered %d", status)
	}
	text := clean(code, k.SecretAccessKey, k.SessionToken)
	if status > 0 { // the SDK does not pass that of a container endpoint on
		text = strconv.Itoa(status) + " " + text
	}
	if message != "" {
		text += ": " + clean(message, k.SecretAccessKey, k.SessionToken)
	}
	return errors.New(text)
}

// refusalOutcome decides by AWS's code, or by the status when there is no code.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
func refusalOutcome(status int, code string) ecr.Outcome {
	switch strings.TrimSuffix(code, "Exception") {
	case "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "OptInRequired":
		return ecr.Denied
	case "ExpiredToken", "ExpiredTokenId", "UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId",
		"InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
		"AuthFailure", "RequestExpired", "RequestTimeTooSkewed", "InvalidIdentityToken", "IDPRejectedClaim":
		return ecr.Rejected
	case "":
	default:
		return ecr.Busy
	}
	switch status {
	case http.StatusUnauthorized:
		return ecr.Rejected
	case http.StatusForbidden:
		return ecr.Denied
	}
	return ecr.Busy
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

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) || errors.As(err, &timeout) && timeout.Timeout()
}

// plainNet returns the cause of an error of net/http, without the url.
func plainNet(err error) error {
	var op *net.OpError
	var request *url.Error
	switch {
	case isTimeout(err):
		return errors.New("no answer in time")
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, transport.ErrAddress):
		return transport.ErrAddress
	case errors.As(err, &op):
		return op
	case errors.As(err, &request):
		return request.Err
	}
	return errors.New("the connection failed")
}
