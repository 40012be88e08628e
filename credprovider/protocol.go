package credprovider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// kubelet's credential provider protocol:
// https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
const (
	apiGroup   = "credentialprovider.kubelet.k8s.io/"
	maxRequest = 1 << 20 // bytes

	// cacheFor is how long kubelet may cache an answer. The answer is not cached when its token
	// expires earlier.
	cacheFor = 10 * time.Minute
	// cachePodFor is the same for the token of a pod's own role, which is stored nowhere else. It
	// is the life of that role's session: then the role is asked for again.
	cachePodFor = time.Hour
)

// request is a CredentialProviderRequest. Other fields, also those that newer kubelets add, are
// ignored.
type request struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Image      string `json:"image"`
	// From kubelet 1.34 on, with tokenAttributes in its configuration.
	ServiceAccountToken       string            `json:"serviceAccountToken"`
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations"`
}

// pod is the pod of a request.
func (r request) pod() Pod {
	return Pod{Token: redact.New(r.ServiceAccountToken), Annotations: r.ServiceAccountAnnotations}
}

type response struct {
	Kind          string           `json:"kind"`
	APIVersion    string           `json:"apiVersion"`
	CacheKeyType  string           `json:"cacheKeyType"`
	CacheDuration string           `json:"cacheDuration"`
	Auth          map[string]login `json:"auth"`
}

// login holds the secret in clear text: here it leaves the process.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Serve answers one request of kubelet: it reads in to its end and writes one answer to out, in the
// version of the request. For [ErrNotServed] the answer has no credential. On any other error
// nothing was written; the error quotes nothing of the request but the name of a valid image.
func Serve(ctx context.Context, in io.Reader, out io.Writer, p *Provider) error {
	b, err := ReadRequest(in)
	if err != nil {
		return err
	}
	req, err := parseRequest(b)
	if err != nil {
		return err
	}
	c, err := p.Credential(ctx, req.Image, req.pod())
	if err != nil && !errors.Is(err, ErrNotServed) {
		return err
	}
	longest := cacheFor
	if c.ofPod {
		longest = cachePodFor
	}
	answer := response{
		Kind:          "CredentialProviderResponse",
		APIVersion:    req.APIVersion,
		CacheKeyType:  "Registry",
		CacheDuration: cacheDuration(p.Tokens.now(), c.Expires, longest).String(),
		Auth:          map[string]login{},
	}
	if c.PerImage {
		answer.CacheKeyType = "Image"
	}
	if err == nil {
		answer.Auth[c.Key] = login{c.Username, c.Password.Reveal()}
	} else {
		answer.CacheKeyType, answer.CacheDuration = "Image", "0s"
	}
	b, err = json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	if _, err := out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// ReadRequest reads a request of kubelet to its end. It does not parse it.
func ReadRequest(in io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxRequest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the request: %w", err)
	case len(b) == 0:
		return nil, errors.New("the request is empty: this program is run by kubelet, with a CredentialProviderRequest on stdin")
	case len(b) > maxRequest:
		return nil, fmt.Errorf("the request is larger than %d bytes", maxRequest)
	}
	return b, nil
}

func parseRequest(b []byte) (request, error) {
	var req request
	// The error of encoding/json can quote the input, which may hold a service account's token.
	if json.Unmarshal(b, &req) != nil {
		return request{}, errors.New("the request is not one JSON document")
	}
	if req.Kind != "CredentialProviderRequest" {
		return request{}, errors.New("the request's kind is not CredentialProviderRequest")
	}
	switch req.APIVersion {
	case apiGroup + "v1", apiGroup + "v1beta1", apiGroup + "v1alpha1":
		return req, nil
	}
	return request{}, errors.New("the request's apiVersion is none of " + apiGroup + "{v1,v1beta1,v1alpha1}")
}

// cacheDuration is how long kubelet may cache a credential: the longest time, at most half of the
// remaining life, and zero when less than ten minutes remain. A zero expires means never.
func cacheDuration(now, expires time.Time, longest time.Duration) time.Duration {
	if expires.IsZero() {
		return longest
	}
	left := expires.Sub(now)
	if left < cacheFor {
		return 0
	}
	return min(longest, left/2).Round(time.Second)
}
