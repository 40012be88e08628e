// Package client asks AWS for registry tokens with the AWS SDK, and finds the credentials of each
// kind of source.
//
// It promises that a source has the credentials that it names and no others: the metadata service
// of EC2 is asked for the instance profile alone, in version 2 alone, and a profile of the shared
// files is that profile alone. Errors are of type *[ecr.Error]. They hold no secret, and quote
// nothing that a program of the user has printed. No request is repeated here: [ecr.Chain] decides
// that.
//
// Start with [Client.Token].
//
// Only this package links the SDK. What kubelet executes does not import it, because linking it
// costs more time than the whole answer from a file.
package client

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/proxy/transport"
)

// Options configure a [Client]. The zero value works in the environment of the process.
type Options struct {
	Proxy  proxy.Settings      // for ECR and STS; the zero value: the environment's
	Getenv func(string) string // nil: os.Getenv
	Now    func() time.Time    // nil: time.Now
	SysDir string              // the sysfs that describes the hardware; "" is /sys
}

// Client asks AWS. It implements [ecr.Client] and may be used by several goroutines.
type Client struct {
	getenv func(string) string
	now    func() time.Time
	// web reaches ECR and STS, and honours the proxy. local reaches the containers' metadata services
	// of this machine, and never uses one.
	web, local *http.Client
	// limit is the longest time of one request to ECR or STS, processLimit that of one run of a
	// credential_process.
	limit, processLimit time.Duration
	// skew is how far AWS's clock was ahead of ours at its last answer, in nanoseconds. A second
	// request after a refusal is signed with AWS's time.
	skew     atomic.Int64
	metadata func() *metadata
	services services
}

// New returns a client. It reads no file and opens no connection.
func New(o Options) *Client {
	if o.Getenv == nil {
		o.Getenv = getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SysDir == "" {
		o.SysDir = "/sys"
	}
	c := &Client{getenv: o.Getenv, now: o.Now, limit: callTimeout, processLimit: processLimit}
	c.web = c.webClient(transport.Proxy(o.Proxy.Or(proxy.FromEnvironment(o.Getenv))))
	c.local = localClient(false)
	c.metadata = sync.OnceValue(func() *metadata { return newMetadata(o.Getenv, o.SysDir, localClient(true)) })
	return c
}

// services are the SDK's clients by kind and region.
type services struct {
	mu  sync.Mutex
	all map[string]any
}

// service returns the client named key, made once.
func service[T any](s *services, key string, make func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.all[key].(T); ok {
		return found
	}
	if s.all == nil {
		s.all = map[string]any{}
	}
	made := make()
	s.all[key] = made
	return made
}

// The environment variables that replace an endpoint, as in every AWS SDK:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
const (
	envECR       = "AWS_ENDPOINT_URL_ECR"
	envECRPublic = "AWS_ENDPOINT_URL_ECR_PUBLIC"
	envSTS       = "AWS_ENDPOINT_URL_STS"
)

// endpoint returns the endpoint of the environment and the kind of endpoint for r. An endpoint from
// the environment wins over those for FIPS and dual stack: the SDK refuses the two together.
func (c *Client) endpoint(variable string, r ecr.Registry) (base *string, fips aws.FIPSEndpointState, dual aws.DualStackEndpointState) {
	if url := c.getenv(variable); url != "" {
		return &url, aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	}
	fips, dual = aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	if r.FIPS {
		fips = aws.FIPSEndpointStateEnabled
	}
	if r.DualStack {
		dual = aws.DualStackEndpointStateEnabled
	}
	return nil, fips, dual
}

// kind distinguishes the endpoints of one region.
func kind(r ecr.Registry) string {
	k := r.Region
	if r.FIPS {
		k += " fips"
	}
	if r.DualStack {
		k += " dualstack"
	}
	return k
}

func (c *Client) private(r ecr.Registry) *sdkecr.Client {
	return service(&c.services, "ecr "+kind(r), func() *sdkecr.Client {
		base, fips, dual := c.endpoint(envECR, r)
		return sdkecr.New(sdkecr.Options{
			Region: r.Region, BaseEndpoint: base, HTTPClient: c.web, Retryer: aws.NopRetryer{}, HTTPSignerV4: clockSigner{v4.NewSigner(), c.awsTime}, DisableClockSkewCorrection: true,
			EndpointOptions: sdkecr.EndpointResolverOptions{UseFIPSEndpoint: fips, UseDualStackEndpoint: dual},
		})
	})
}

func (c *Client) public(r ecr.Registry) *ecrpublic.Client {
	return service(&c.services, "ecr-public "+kind(r), func() *ecrpublic.Client {
		base, fips, dual := c.endpoint(envECRPublic, r)
		return ecrpublic.New(ecrpublic.Options{
			Region: r.Region, BaseEndpoint: base, HTTPClient: c.web, Retryer: aws.NopRetryer{}, HTTPSignerV4: clockSigner{v4.NewSigner(), c.awsTime}, DisableClockSkewCorrection: true,
			EndpointOptions: ecrpublic.EndpointResolverOptions{UseFIPSEndpoint: fips, UseDualStackEndpoint: dual},
		})
	})
}

// prepare makes the client for r, so that it is there when the credentials are.
func (c *Client) prepare(r ecr.Registry) {
	if r.Public {
		c.public(r)
	} else {
		c.private(r)
	}
}

func (c *Client) sts(r ecr.Registry) *sts.Client {
	return service(&c.services, "sts "+kind(r), func() *sts.Client {
		base, fips, dual := c.endpoint(envSTS, r)
		return sts.New(sts.Options{
			Region: r.Region, BaseEndpoint: base, HTTPClient: c.web, Retryer: aws.NopRetryer{}, HTTPSignerV4: clockSigner{v4.NewSigner(), c.awsTime}, DisableClockSkewCorrection: true,
			EndpointOptions: sts.EndpointResolverOptions{UseFIPSEndpoint: fips, UseDualStackEndpoint: dual},
		})
	})
}

// clockSigner signs with the time that now returns; the SDK takes that of the machine.
type clockSigner struct {
	*v4.Signer
	now func() time.Time
}

// SignHTTP implements the signer of the SDK's clients.
func (s clockSigner) SignHTTP(ctx context.Context, k aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, options ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, k, r, hash, service, region, s.now(), options...)
}

// awsTime returns the time by AWS's clock, as far as it is known.
func (c *Client) awsTime() time.Time { return c.now().Add(time.Duration(c.skew.Load())) }

// learnTime stores the offset of AWS's clock from the Date of an answer. Small differences are
// ignored.
func (c *Client) learnTime(date string) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return
	}
	skew := theirs.Sub(c.now())
	if skew.Abs() < clockSlack {
		skew = 0
	}
	c.skew.Store(int64(skew))
}

// Token implements [ecr.Client].
func (c *Client) Token(ctx context.Context, r ecr.Registry, s ecr.Source, hasty bool) (ecr.Token, error) {
	go c.prepare(r)
	k, err := c.credentials(ctx, r, s, !hasty)
	if err != nil {
		return ecr.Token{}, err
	}
	if s.Identity(c.getenv).Stamp == "" {
		return c.registryToken(ctx, r, k)
	}
	// The principal is only a help against a later change of the files: a failure is no failure.
	principal := make(chan string, 1)
	go func() {
		arn, _ := c.principal(ctx, r, k)
		principal <- arn
	}()
	token, err := c.registryToken(ctx, r, k)
	if arn := <-principal; err == nil {
		token.Principal = arn
	}
	return token, err
}
