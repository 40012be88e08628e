package main

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// cloud is the state of AWS for a trial's programs.
type cloud int

const (
	noCloud cloud = iota // nothing answers
	serving              // the instance profile and the static keys get tokens
	denying              // no key gets a token
)

// The keys of a node that has keys.
const (
	staticID     = "AKIASTATICSTATICSTAT"
	staticSecret = "staticsecret"
)

// clouds are the fakes that all trials share: an answer depends on the request alone, not on
// earlier requests.
type clouds struct {
	serving, denying *fakeaws.Server
}

func startClouds() (*clouds, error) {
	c := &clouds{}
	var err error
	if c.serving, err = fakeaws.Start(); err != nil {
		return nil, err
	}
	if c.denying, err = fakeaws.Start(); err != nil {
		return nil, errors.Join(err, c.serving.Close())
	}
	for _, s := range []*fakeaws.Server{c.serving, c.denying} {
		s.SetRole("node", fakeaws.Key{ID: "ASIAROLEROLEROLEROLE", Secret: "rolesecret", Session: "rolesession"})
		s.AddKey(fakeaws.Key{ID: staticID, Secret: staticSecret})
		s.SetPassword(func(service fakeaws.Point, region string) string {
			return region + "." + hex.EncodeToString([]byte(service))
		})
	}
	for _, p := range []fakeaws.Point{fakeaws.ECR, fakeaws.ECRPublic} {
		c.denying.Inject(fakeaws.Fault{Point: p, Status: 400, Code: "AccessDeniedException", Message: "not authorized"})
	}
	return c, nil
}

func (c *clouds) close() { _ = errors.Join(c.serving.Close(), c.denying.Close()) }

// env returns the environment of the programs. It inherits only PATH.
func (c *clouds) env(which cloud, home string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C",
		// No registry of the configs is asked on the Internet.
		"http_proxy=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "no_proxy=127.0.0.1,localhost,::1",
	}
	switch which {
	case noCloud:
		// No test may reach the metadata service of this machine.
		return append(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1",
			"AWS_ENDPOINT_URL_ECR=http://127.0.0.1:1", "AWS_ENDPOINT_URL_ECR_PUBLIC=http://127.0.0.1:1", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1")
	case serving:
		env = append(env, c.serving.Env()...)
	case denying:
		env = append(env, c.denying.Env()...)
	}
	kept := env[:0]
	for _, pair := range env {
		if !strings.HasPrefix(pair, "AWS_ACCESS_KEY_ID=") && !strings.HasPrefix(pair, "AWS_SECRET_ACCESS_KEY=") {
			kept = append(kept, pair)
		}
	}
	return append(kept, "AWS_ACCESS_KEY_ID="+staticID, "AWS_SECRET_ACCESS_KEY="+staticSecret)
}
