package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/ec2"
	"github.com/berth-registry/berth/internal/sleep"
)

// The instance metadata service, version 2 only: every GET carries a session token from a PUT.
// Version 1 is never used.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
const (
	metadataToken    = "/latest/api/token"
	metadataRoles    = "/latest/meta-data/iam/security-credentials/"
	metadataDocument = "/latest/dynamic/instance-identity/document"
	metadataMax      = 64 << 10 // bytes of an answer
)

// metadataTimes are timeouts of the metadata service. It runs on the machine itself and answers in
// milliseconds.
type metadataTimes struct {
	first, later time.Duration // the first request, each one after it
	onEC2        time.Duration // of all tries together, when this looks like EC2
}

// metadata asks the instance metadata service.
type metadata struct {
	http *http.Client // without a proxy, without redirects
	base string
	// likeEC2 is whether the hardware looks like an EC2 instance.
	likeEC2 bool
	times   metadataTimes
}

// newMetadata uses the endpoint of the environment, else the well-known one.
func newMetadata(getenv func(string) string, sysDir string, client *http.Client) *metadata {
	base, named := ec2.Metadata(getenv)
	return &metadata{
		base:    base,
		times:   metadataTimes{first: time.Second, later: 2 * time.Second, onEC2: 10 * time.Second},
		http:    client,
		likeEC2: !named && ec2.Detected(sysDir),
	}
}

// retrieve returns the keys of the instance's role. With patient it asks for ten seconds on hardware
// that looks like EC2, and twice elsewhere.
func (m *metadata) retrieve(ctx context.Context, patient bool) (aws.Credentials, error) {
	defer m.http.CloseIdleConnections()
	session, err := m.session(ctx, patient)
	if err != nil {
		return aws.Credentials{}, err
	}
	role, err := m.role(ctx, session)
	if err != nil {
		return aws.Credentials{}, err
	}
	status, body, err := m.get(ctx, session, metadataRoles+role)
	const op = "read the role's keys from the metadata service"
	if err != nil {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: err}
	}
	if status != http.StatusOK {
		return aws.Credentials{}, &ecr.Error{Outcome: statusOutcome(status), Op: op, Err: fmt.Errorf("it answered %d", status)}
	}
	return parseRoleKeys(op, body)
}

func parseRoleKeys(op string, body []byte) (aws.Credentials, error) {
	var a struct{ Code, AccessKeyID, SecretAccessKey, Token string }
	if err := json.Unmarshal(body, &a); err != nil {
		// The error of encoding/json could quote the body, which holds keys.
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer is no JSON")}
	}
	if a.Code != "" && a.Code != "Success" {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.NoRole, Op: op, Err: fmt.Errorf("the service says %q: the role cannot be assumed", clean(a.Code))}
	}
	if a.AccessKeyID == "" || a.SecretAccessKey == "" {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer holds no keys")}
	}
	return aws.Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.Token}, nil
}

// session gets a session token; only EC2 has them.
func (m *metadata) session(ctx context.Context, patient bool) (string, error) {
	begin := time.Now()
	wait, tries := m.times.first, 0
	for {
		token, err := m.oneSession(ctx, wait)
		if !errors.Is(err, ecr.Unreachable) || ctx.Err() != nil || !patient {
			return token, m.explain(err)
		}
		tries++
		if m.likeEC2 && time.Since(begin) >= m.times.onEC2 || !m.likeEC2 && tries == 2 {
			return "", m.explain(err)
		}
		wait = m.times.later
		if !sleep.For(ctx, 200*time.Millisecond) {
			return "", m.explain(err)
		}
	}
}

// explain adds the remedy to an error on EC2.
func (m *metadata) explain(err error) error {
	var e *ecr.Error
	if !m.likeEC2 || !errors.As(err, &e) || e.Outcome != ecr.Unreachable {
		return err
	}
	return &ecr.Error{Outcome: ecr.HopLimit, Op: e.Op, Err: errors.New(
		"this machine looks like EC2: in a pod, use the host network or raise the hop limit of the metadata service to 2")}
}

func (m *metadata) oneSession(ctx context.Context, wait time.Duration) (string, error) {
	const op = "get a session from the metadata service"
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, m.base+metadataToken, nil)
	if err != nil {
		return "", &ecr.Error{Outcome: ecr.Unreachable, Op: op, Err: fmt.Errorf("%s is not a url", ec2.EnvMetadata)}
	}
	req.Header.Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
	status, body, err := m.do(req)
	switch {
	case err != nil:
		return "", &ecr.Error{Outcome: ecr.Unreachable, Op: op, Err: plainNet(err)}
	case status >= 500 || status == http.StatusTooManyRequests:
		return "", &ecr.Error{Outcome: ecr.Busy, Op: op, Err: fmt.Errorf("it answered %d", status)}
	case status != http.StatusOK:
		return "", &ecr.Error{Outcome: ecr.NotEC2, Op: op, Err: fmt.Errorf("it answered %d", status)}
	case !isSession(body):
		return "", &ecr.Error{Outcome: ecr.NotEC2, Op: op, Err: errors.New("the answer is not a session token")}
	}
	return string(body), nil
}

// isSession reports whether b can be a session token. A web page, or any other answer of a foreign
// service, must not become a request header.
func isSession(b []byte) bool {
	if len(b) == 0 || len(b) > 1024 {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// role returns the name of the instance's role.
func (m *metadata) role(ctx context.Context, session string) (string, error) {
	const op = "ask the metadata service for the role"
	status, body, err := m.get(ctx, session, metadataRoles)
	if err != nil {
		return "", &ecr.Error{Outcome: ecr.Busy, Op: op, Err: err}
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	switch {
	case status == http.StatusNotFound || status == http.StatusOK && name == "":
		return "", m.noRole(ctx, op, session)
	case status != http.StatusOK:
		return "", &ecr.Error{Outcome: statusOutcome(status), Op: op, Err: fmt.Errorf("it answered %d", status)}
	case !isRoleName(name):
		return "", &ecr.Error{Outcome: ecr.NotEC2, Op: op, Err: errors.New("the answer is not a role name")}
	}
	return name, nil
}

// noRole returns the error for a missing role: [ecr.NoRole] on an EC2 instance, [ecr.NotEC2] in another
// cloud, which has no identity document.
func (m *metadata) noRole(ctx context.Context, op, session string) error {
	status, _, err := m.get(ctx, session, metadataDocument)
	if err == nil && status == http.StatusNotFound {
		return &ecr.Error{Outcome: ecr.NotEC2, Op: op, Err: errors.New("it has no identity document: another cloud")}
	}
	return &ecr.Error{Outcome: ecr.NoRole, Op: op, Err: errors.New("attach an instance profile that may call ecr:GetAuthorizationToken")}
}

// isRoleName: https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html
func isRoleName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range s {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && !strings.ContainsRune("_+=,.@-", c) {
			return false
		}
	}
	return s != "." && s != ".."
}

func statusOutcome(status int) ecr.Outcome {
	if status >= 500 || status == http.StatusTooManyRequests {
		return ecr.Busy
	}
	return ecr.NotEC2
}

func (m *metadata) get(ctx context.Context, session, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.times.later)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+path, nil)
	if err != nil {
		return 0, nil, errors.New("the url is malformed")
	}
	req.Header.Set("X-Aws-Ec2-Metadata-Token", session)
	status, body, err := m.do(req)
	if err != nil {
		return 0, nil, plainNet(err)
	}
	return status, body, nil
}

func (m *metadata) do(req *http.Request) (int, []byte, error) {
	resp, err := m.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
