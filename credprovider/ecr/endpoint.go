package ecr

import "strings"

// partition is an AWS partition, which has DNS names of its own.
type partition struct {
	id           string
	regionPrefix string // "" is the partition of every other region
	suffix       string // of registries and of the API
	dualHosts    string // of dual-stack registries, "" where there are none
	dualAPI      string // of the dual-stack API
}

// partitions lists all partitions, the most common one last because its prefix matches every
// region. Source: partitions.json of aws-sdk-go-v2; a test compares them.
func partitions() [8]partition {
	return [8]partition{
		{"aws-us-gov", "us-gov-", "amazonaws.com", "on.aws", "api.aws"},
		{"aws-cn", "cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn", "api.amazonwebservices.com.cn"},
		{"aws-eusc", "eusc-", "amazonaws.eu", "", "api.amazonwebservices.eu"},
		{"aws-iso", "us-iso-", "c2s.ic.gov", "", "api.aws.ic.gov"},
		{"aws-iso-b", "us-isob-", "sc2s.sgov.gov", "", "api.aws.scloud"},
		{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "", "api.cloud-aws.adc-e.uk"},
		{"aws-iso-f", "us-isof-", "csp.hci.ic.gov", "", "api.aws.hci.ic.gov"},
		{"aws", "", "amazonaws.com", "on.aws", "api.aws"},
	}
}

func partitionOf(region string) partition {
	var p partition
	for _, p = range partitions() {
		if strings.HasPrefix(region, p.regionPrefix) {
			break
		}
	}
	return p
}

// api is the endpoint of a request and the scope of its signature.
type api struct {
	service string // in the signature
	url     string
	region  string
}

// The environment variables that replace an endpoint, as in every AWS SDK:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
const (
	envECR       = "AWS_ENDPOINT_URL_ECR"
	envECRPublic = "AWS_ENDPOINT_URL_ECR_PUBLIC"
	envSTS       = "AWS_ENDPOINT_URL_STS"
	envMetadata  = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
)

// tokenAPI returns the API that gives tokens for r. An endpoint from the environment wins over the
// FIPS and dual-stack ones.
func tokenAPI(r Registry, getenv func(string) string) api {
	p := partitionOf(r.Region)
	a := api{service: string(r.Service()), region: r.Region}
	fips := ""
	if r.FIPS {
		fips = "-fips"
	}
	switch {
	case r.Public && getenv(envECRPublic) != "":
		a.url = getenv(envECRPublic)
	case !r.Public && getenv(envECR) != "":
		a.url = getenv(envECR)
	case r.Public && r.DualStack:
		a.url = "https://ecr-public." + r.Region + "." + p.dualAPI
	case r.Public:
		a.url = "https://api.ecr-public." + r.Region + "." + p.suffix
	case r.DualStack:
		a.url = "https://ecr" + fips + "." + r.Region + "." + p.dualAPI
	default:
		a.url = "https://api.ecr" + fips + "." + r.Region + "." + p.suffix
	}
	return a
}

// roleAPI returns the STS of the region of r.
func roleAPI(r Registry, getenv func(string) string) api {
	p := partitionOf(r.Region)
	a := api{service: "sts", region: r.Region}
	fips := ""
	// In GovCloud the name without -fips is the FIPS endpoint.
	if r.FIPS && (p.id != "aws-us-gov" || r.DualStack) {
		fips = "-fips"
	}
	switch {
	case getenv(envSTS) != "":
		a.url = getenv(envSTS)
	case r.DualStack:
		a.url = "https://sts" + fips + "." + r.Region + "." + p.dualAPI
	default:
		a.url = "https://sts" + fips + "." + r.Region + "." + p.suffix
	}
	return a
}
