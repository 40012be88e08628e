package ecr

import (
	"strings"

	"github.com/berth-registry/berth/internal/hostport"
)

// Registry is an ECR registry, parsed from its host name.
type Registry struct {
	// Host is the name in lower case, without a trailing dot, with its port.
	Host      string
	Account   string // 12 digits; "" for the public registry
	Region    string
	Partition string // aws, aws-cn, aws-us-gov, …
	// FIPS and DualStack are the kind of the host name; requests for tokens go to the endpoint of
	// the same kind.
	FIPS, DualStack bool
	// Public is ECR Public, which has another API, always in us-east-1.
	Public bool
	// Chain names the chain of credentials that gets its tokens, "" for the chain that all
	// registries without their own share.
	Chain string
	// ServiceAccount says whether the pod's own role gets its tokens.
	ServiceAccount ServiceAccount
}

// Service is one of the two APIs that give registry tokens.
type Service string

// The services, by the names under which requests to them are signed.
const (
	Private Service = "ecr"
	Public  Service = "ecr-public"
)

// Service returns the API that gives tokens for r.
func (r Registry) Service() Service {
	if r.Public {
		return Public
	}
	return Private
}

// Same reports whether r and o are names of one registry.
func (r Registry) Same(o Registry) bool {
	return r.Account == o.Account && r.Region == o.Region && r.Partition == o.Partition && r.Public == o.Public
}

// publicRegion is the only region where ECR Public has its authentication API:
// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html
const publicRegion = "us-east-1"

// Name declares a host to be an ECR registry that does not have the name of one, such as a CNAME or
// a proxy.
type Name struct {
	Host    string `json:"host"` // host[:port]
	Account string `json:"account"`
	Region  string `json:"region"`
	// Chain names the chain of credentials of this registry, under all its names; "" is the shared
	// one.
	Chain string `json:"chain,omitempty"`
	// ServiceAccount is that of this registry, under all its names. With the Host [EveryRegistry]
	// it is that of the registries without their own, and the other fields are empty.
	ServiceAccount ServiceAccount `json:"serviceAccount,omitzero"`
}

// Names are further names of ECR registries.
type Names []Name

// Parse is [ParseHost] with these names, their chains and their service accounts.
func (n Names) Parse(host string) (Registry, bool) {
	r, ok := n.parse(host)
	if !ok {
		return r, false
	}
	var others ServiceAccount
	for _, name := range n {
		if name.Host == EveryRegistry {
			others = name.ServiceAccount
			continue
		}
		chain, account := r.Chain == "" && name.Chain != "", !r.ServiceAccount.On() && name.ServiceAccount.On()
		if !chain && !account {
			continue
		}
		if own, ok := n.parse(name.Host); ok && own.Same(r) {
			if chain {
				r.Chain = name.Chain
			}
			if account {
				r.ServiceAccount = name.ServiceAccount
			}
		}
	}
	if !r.ServiceAccount.On() {
		r.ServiceAccount = others
	}
	return r, true
}

func (n Names) parse(host string) (Registry, bool) {
	if r, ok := ParseHost(host); ok {
		return r, true
	}
	host, ok := normalise(host)
	if !ok {
		return Registry{}, false
	}
	for _, name := range n {
		if own, ok := normalise(name.Host); ok && own == host && isRegion(name.Region) {
			p := partitionOf(name.Region)
			return Registry{Host: host, Account: name.Account, Region: name.Region, Partition: p.id}, true
		}
	}
	return Registry{}, false
}

// ParseHost parses the host[:port] of an ECR registry, in every form that AWS documents. It reports
// false for every other name, however similar: a token is for ECR alone.
//
// The forms: https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
// and https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html.
func ParseHost(host string) (Registry, bool) {
	host, ok := normalise(host)
	if !ok {
		return Registry{}, false
	}
	name := hostport.Host(host)
	switch name {
	case "public.ecr.aws":
		return Registry{Host: host, Region: publicRegion, Partition: "aws", Public: true}, true
	case "ecr-public.aws.com":
		return Registry{Host: host, Region: publicRegion, Partition: "aws", Public: true, DualStack: true}, true
	}
	account, rest, _ := strings.Cut(name, ".")
	if !isAccount(account) {
		return Registry{}, false
	}
	for _, f := range forms() {
		after, ok := strings.CutPrefix(rest, f.separator+".")
		if !ok {
			continue
		}
		region, suffix, _ := strings.Cut(after, ".")
		if !isRegion(region) {
			return Registry{}, false
		}
		p := partitionOf(region)
		if !p.has(f, suffix) {
			return Registry{}, false
		}
		return Registry{
			Host: host, Account: account, Region: region, Partition: p.id,
			FIPS: f.fips, DualStack: f.dualStack,
		}, true
	}
	return Registry{}, false
}

// InRegion returns a registry without host and account, to get a token of service s in a region
// from its standard endpoint. It reports false for an unknown service and a malformed region.
func InRegion(s Service, region string) (Registry, bool) {
	if !isRegion(region) || s == Public && region != publicRegion || s != Public && s != Private {
		return Registry{}, false
	}
	return Registry{Region: region, Partition: partitionOf(region).id, Public: s == Public}, true
}

// form is the part of the name between account and region.
type form struct {
	separator       string
	fips, dualStack bool
}

func forms() [4]form {
	return [4]form{
		{separator: "dkr.ecr"},
		{separator: "dkr.ecr-fips", fips: true},
		{separator: "dkr-ecr", dualStack: true},
		{separator: "dkr-ecr-fips", fips: true, dualStack: true},
	}
}

// has reports whether registry names of form f end in suffix. Not every pair exists:
// dkr.ecr….on.aws does not.
func (p partition) has(f form, suffix string) bool {
	switch {
	case !f.dualStack:
		return suffix == p.suffix
	case f.fips && p.id == "aws-cn":
		return false
	}
	return p.dualHosts != "" && suffix == p.dualHosts
}

// normalise returns host[:port] in the form in which hosts are compared.
func normalise(host string) (string, bool) {
	name, err := hostport.Parse(hostport.TrimDot(host))
	return name, err == nil
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// isRegion reports whether s has the form of a region: us-east-1, us-gov-west-1. It becomes part of
// a file name and of a host name.
func isRegion(s string) bool {
	if len(s) < 6 || len(s) > 32 || strings.Count(s, "-") < 2 || strings.Contains(s, "--") {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	first, last := s[0], s[len(s)-1]
	return first >= 'a' && first <= 'z' && last >= '0' && last <= '9'
}
