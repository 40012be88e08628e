package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// credentials returns the AWS credentials of a source. patient says that there is time to wait for
// the metadata service.
func (c *Client) credentials(ctx context.Context, r ecr.Registry, s ecr.Source, patient bool) (aws.Credentials, error) {
	switch {
	case s.SDK != nil:
		return c.sdkCredentials(ctx, r, *s.SDK)
	case s.Static != nil:
		return c.staticCredentials(ctx, r, *s.Static)
	}
	return c.metadata().retrieve(ctx, patient)
}

// staticCredentials returns the keys of a static source, or those of the role that they assume.
func (c *Client) staticCredentials(ctx context.Context, r ecr.Registry, s ecr.StaticKeys) (aws.Credentials, error) {
	k, err := s.Keys(c.getenv)
	if err == nil && k.Shared != nil {
		const op = "find static keys"
		var shared config.SharedConfig
		if shared, err = load(ctx, op, *k.Shared); err == nil {
			found := shared.Credentials
			k, err = ecr.NewKeys(op, found.AccessKeyID, redact.New(found.SecretAccessKey), redact.New(found.SessionToken))
		}
	}
	if err != nil || s.RoleARN == "" {
		return plain(k), err
	}
	return c.assumeRole(ctx, r, plain(k), config.SharedConfig{RoleARN: s.RoleARN})
}

func plain(k ecr.Keys) aws.Credentials {
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), SessionToken: k.Session.Reveal()}
}

const opSDK = "find credentials of the SDK"

// sdkCredentials returns what the SDK's own chain finds, in its order, without the instance's role.
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func (c *Client) sdkCredentials(ctx context.Context, r ecr.Registry, s ecr.SDK) (aws.Credentials, error) {
	switch s.Environment(c.getenv) {
	case "keys":
		k, err := ecr.EnvironmentKeys(opSDK, c.getenv)
		return plain(k), err
	case "web identity":
		return c.webIdentity(ctx, r, config.SharedConfig{
			WebIdentityTokenFile: c.getenv(ecr.EnvTokenFile),
			RoleARN:              c.getenv(ecr.EnvRole),
			RoleSessionName:      c.getenv("AWS_ROLE_SESSION_NAME"),
		})
	}
	optional := s.Profile == "" && c.getenv("AWS_PROFILE") == ""
	shared, err := load(ctx, opSDK, s.Files(c.getenv))
	switch {
	case optional && errors.Is(err, errNoProfile), s.Profile == "" && err == nil && !hasCredentials(shared):
		return c.container(ctx)
	case err != nil:
		return aws.Credentials{}, err
	}
	return c.profile(ctx, r, shared)
}

// hasCredentials reports whether a profile says where credentials are.
func hasCredentials(p config.SharedConfig) bool {
	return p.Credentials.HasKeys() || p.Source != nil || p.CredentialSource != "" || p.CredentialProcess != "" ||
		p.WebIdentityTokenFile != "" || usesSSO(p) || p.LoginSession != ""
}

func usesSSO(p config.SharedConfig) bool {
	return p.SSOSessionName != "" || p.SSOAccountID != "" || p.SSOStartURL != "" || p.SSORoleName != "" || p.SSORegion != ""
}

// errNoProfile marks the error for a profile that no file has.
var errNoProfile = errors.New("no such profile")

// load reads one profile of the shared files. The error is a *[ecr.Error]. It quotes nothing of the
// files: the SDK's own errors can hold a line of them.
func load(ctx context.Context, op string, s ecr.SDK) (config.SharedConfig, error) {
	fail := func(cause error) (config.SharedConfig, error) {
		return config.SharedConfig{}, &ecr.Error{Outcome: ecr.NoKeys, Op: op, Err: cause}
	}
	files := []string{s.CredentialsFile}
	if s.ConfigFile != "" {
		files = []string{s.ConfigFile, s.CredentialsFile}
	}
	// The SDK takes a file that it cannot read for an empty one.
	for _, path := range files {
		if _, err := ecr.ReadFile(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(err)
		}
	}
	shared, err := config.LoadSharedConfigProfile(ctx, s.Profile, func(o *config.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = files[:len(files)-1], files[len(files)-1:]
	})
	var missing config.SharedConfigProfileNotExistError
	var noRole config.CredentialRequiresARNError
	var noSource config.SharedConfigAssumeRoleError
	where := strings.Join(files, " and ")
	switch {
	case err == nil:
		return shared, nil
	case errors.As(err, &noSource):
		return fail(fmt.Errorf("profile %q: its source_profile %q has no credentials", s.Profile, noSource.Profile))
	case errors.As(err, &missing):
		return fail(&noProfileError{fmt.Sprintf("%s has no profile %q", where, s.Profile)})
	case errors.As(err, &noRole):
		return fail(fmt.Errorf("profile %q has %s without role_arn", s.Profile, noRole.Type))
	}
	return fail(fmt.Errorf("profile %q of %s is incomplete or has a value that the SDK refuses", s.Profile, where))
}

// noProfileError is errNoProfile with the names of the files.
type noProfileError struct{ text string }

func (e *noProfileError) Error() string        { return e.text }
func (e *noProfileError) Is(target error) bool { return target == errNoProfile }

// profile returns the credentials of a profile: of its one source, and then of the role that it
// assumes.
func (c *Client) profile(ctx context.Context, r ecr.Registry, p config.SharedConfig) (aws.Credentials, error) {
	refuse := func(format string, args ...any) (aws.Credentials, error) {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Refused, Op: fmt.Sprintf("use the profile %q", p.Profile), Err: fmt.Errorf(format, args...)}
	}
	var base aws.Credentials
	var err error
	switch {
	case p.MFASerial != "":
		return refuse("mfa_serial needs a code that a person types; use a role without MFA")
	case p.Source != nil:
		base, err = c.profile(ctx, r, *p.Source)
	case p.Credentials.HasKeys():
		var k ecr.Keys
		k, err = ecr.NewKeys(opSDK, p.Credentials.AccessKeyID, redact.New(p.Credentials.SecretAccessKey), redact.New(p.Credentials.SessionToken))
		base = plain(k)
	case p.CredentialSource == "Ec2InstanceMetadata":
		return refuse("credential_source = Ec2InstanceMetadata is the instance profile; write instanceProfile: {} in place of sdk")
	case p.CredentialSource == "Environment":
		var k ecr.Keys
		k, err = ecr.EnvironmentKeys(opSDK, c.getenv)
		base = plain(k)
	case p.CredentialSource == "EcsContainer":
		base, err = c.container(ctx)
	case p.CredentialSource != "":
		return refuse("credential_source is neither Environment nor EcsContainer")
	case p.WebIdentityTokenFile != "":
		return c.webIdentity(ctx, r, p)
	case usesSSO(p):
		return refuse("SSO needs a login in a browser; use credential_process, a web identity, or keys")
	case p.LoginSession != "":
		return refuse("login_session needs a login in a browser; use credential_process, a web identity, or keys")
	case p.CredentialProcess != "":
		base, err = c.process(ctx, p.CredentialProcess)
	default:
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.NoKeys, Op: opSDK, Err: fmt.Errorf("profile %q has no credentials", p.Profile)}
	}
	if err != nil || p.RoleARN == "" {
		return base, err
	}
	return c.assumeRole(ctx, r, base, p)
}

const sessionName = "berth"

// assumeRole exchanges credentials for those of the role of p:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (c *Client) assumeRole(ctx context.Context, r ecr.Registry, k aws.Credentials, p config.SharedConfig) (aws.Credentials, error) {
	op := "assume the role " + clean(p.RoleARN)
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	in := &sts.AssumeRoleInput{RoleArn: &p.RoleARN, RoleSessionName: aws.String(sessionName)}
	if p.RoleSessionName != "" {
		in.RoleSessionName = &p.RoleSessionName
	}
	if p.ExternalID != "" {
		in.ExternalId = &p.ExternalID
	}
	if p.RoleDurationSeconds != nil {
		in.DurationSeconds = aws.Int32(int32(*p.RoleDurationSeconds / time.Second))
	}
	out, err := c.sts(r).AssumeRole(ctx, in, func(o *sts.Options) { o.Credentials = fixed(k) })
	if err != nil {
		return aws.Credentials{}, failure(op, err, k)
	}
	if out.Credentials == nil {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer holds no keys")}
	}
	return received(op, out.Credentials.AccessKeyId, out.Credentials.SecretAccessKey, out.Credentials.SessionToken)
}

// webIdentity exchanges the token in a file for the credentials of the role of p.
func (c *Client) webIdentity(ctx context.Context, r ecr.Registry, p config.SharedConfig) (aws.Credentials, error) {
	if p.RoleARN == "" {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.NoKeys, Op: opSDK, Err: fmt.Errorf("%s names a token, and no role: set %s", ecr.EnvTokenFile, ecr.EnvRole)}
	}
	token, err := ecr.ReadFile(p.WebIdentityTokenFile)
	if err != nil {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.NoKeys, Op: opSDK, Err: err}
	}
	return c.withToken(ctx, r, p.RoleARN, p.RoleSessionName, strings.TrimSpace(string(token)))
}

// withToken exchanges a web identity token for the credentials of a role. The call has no signature.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (c *Client) withToken(ctx context.Context, r ecr.Registry, roleARN, session, token string) (aws.Credentials, error) {
	op := "assume the role " + clean(roleARN) + " with a web identity"
	if session == "" {
		session = sessionName
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	out, err := c.sts(r).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &roleARN, RoleSessionName: &session, WebIdentityToken: &token,
	})
	if err != nil {
		return aws.Credentials{}, failure(op, err, aws.Credentials{SessionToken: token})
	}
	if out.Credentials == nil {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer holds no keys")}
	}
	return received(op, out.Credentials.AccessKeyId, out.Credentials.SecretAccessKey, out.Credentials.SessionToken)
}

// RoleToken implements [ecr.Client].
func (c *Client) RoleToken(ctx context.Context, r ecr.Registry, roleARN string, identity redact.Secret) (ecr.Token, error) {
	go c.prepare(r)
	k, err := c.withToken(ctx, r, roleARN, "", identity.Reveal())
	if err != nil {
		return ecr.Token{}, err
	}
	return c.registryToken(ctx, r, k)
}

// received returns keys of an answer.
func received(op string, id, secret, session *string) (aws.Credentials, error) {
	k, err := ecr.NewKeys(op, aws.ToString(id), redact.New(aws.ToString(secret)), redact.New(aws.ToString(session)))
	if err != nil {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer holds no keys")}
	}
	return plain(k), nil
}

// The endpoint of ECS, and the hosts that may be asked over plain http:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
const containerBase = "http://169.254.170.2"

func isContainerHost(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost"
	}
	for _, known := range []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"} {
		if address == netip.MustParseAddr(known) {
			return true
		}
	}
	return address.IsLoopback()
}

// container asks the endpoint of ECS or EKS Pod Identity that the environment names.
func (c *Client) container(ctx context.Context) (aws.Credentials, error) {
	const op = "ask the container credentials endpoint"
	fail := func(o ecr.Outcome, cause error) (aws.Credentials, error) {
		return aws.Credentials{}, &ecr.Error{Outcome: o, Op: op, Err: cause}
	}
	endpoint := c.getenv(ecr.EnvContainerURL)
	if path := c.getenv(ecr.EnvContainerPath); path != "" {
		endpoint = containerBase + path
	}
	if endpoint == "" {
		return aws.Credentials{}, &ecr.Error{Outcome: ecr.NoKeys, Op: opSDK, Err: errors.New("neither the environment nor the shared files name credentials")}
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Hostname() == "":
		return fail(ecr.Refused, fmt.Errorf("%s is not a url", ecr.EnvContainerURL))
	case u.Scheme != "https" && !(u.Scheme == "http" && isContainerHost(u.Hostname())):
		return fail(ecr.Refused, fmt.Errorf("%s names %s over plain http; only this machine and the addresses of ECS and EKS are asked so", ecr.EnvContainerURL, clean(u.Hostname())))
	}
	token := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if path := c.getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		b, err := ecr.ReadFile(path)
		if err != nil {
			return fail(ecr.NoKeys, err)
		}
		token = strings.TrimSpace(string(b))
	}
	if strings.ContainsAny(token, "\r\n") {
		return fail(ecr.NoKeys, errors.New("the authorization token has several lines"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	k, err := endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.HTTPClient, o.Retryer, o.AuthorizationToken = c.local, aws.NopRetryer{}, token
	}).Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, failure(op, err, aws.Credentials{SessionToken: token})
	}
	return received(op, &k.AccessKeyID, &k.SecretAccessKey, &k.SessionToken)
}

// Principal implements [ecr.Client]:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (c *Client) Principal(ctx context.Context, r ecr.Registry, s ecr.Source) (string, error) {
	k, err := c.credentials(ctx, r, s, false)
	if err != nil {
		return "", err
	}
	return c.principal(ctx, r, k)
}

func (c *Client) principal(ctx context.Context, r ecr.Registry, k aws.Credentials) (string, error) {
	const op = "ask whose credentials they are"
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	out, err := c.sts(r).GetCallerIdentity(ctx, nil, func(o *sts.Options) { o.Credentials = fixed(k) })
	if err != nil {
		return "", failure(op, err, k)
	}
	arn := aws.ToString(out.Arn)
	if arn == "" || !ecr.Printable(arn) {
		return "", &ecr.Error{Outcome: ecr.Busy, Op: op, Err: errors.New("the answer holds no ARN")}
	}
	return withoutSession(arn), nil
}

// withoutSession removes the name of the session from the ARN of an assumed role: it can differ
// between two rotations of one identity.
func withoutSession(arn string) string {
	if at := strings.Index(arn, ":assumed-role/"); at >= 0 {
		if cut := strings.LastIndexByte(arn, '/'); cut > at+len(":assumed-role/") {
			return arn[:cut]
		}
	}
	return arn
}
