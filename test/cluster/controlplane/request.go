package controlplane

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
)

// Answer is the answer of the API server.
type Answer struct {
	Code int
	Body string
}

// Request sends a request with a token; "" for the administrator's.
func (p *Plane) Request(ctx context.Context, token, method, path, contentType, body string) (Answer, error) {
	if token == "" {
		token = p.tokens[admin]
	}
	request, err := http.NewRequestWithContext(ctx, method, p.URL()+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it is on loopback, with its own certificate
		DisableKeepAlives: true,
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, string(raw)}, err
}

// CA returns the file with the certificate authority of the API server.
func (p *Plane) CA() string { return p.file("certs/apiserver.crt") }

// Port returns the port of the API server on loopback.
func (p *Plane) Port() string { return p.port }
