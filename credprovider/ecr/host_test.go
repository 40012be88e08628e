package ecr

import (
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	const a = "111122223333"
	for host, want := range map[string]Registry{
		a + ".dkr.ecr.us-east-1.amazonaws.com":                    {Account: a, Region: "us-east-1", Partition: "aws"},
		a + ".dkr.ecr-fips.us-east-1.amazonaws.com":               {Account: a, Region: "us-east-1", Partition: "aws", FIPS: true},
		a + ".dkr.ecr.us-gov-west-1.amazonaws.com":                {Account: a, Region: "us-gov-west-1", Partition: "aws-us-gov"},
		a + ".dkr.ecr-fips.us-gov-east-1.amazonaws.com":           {Account: a, Region: "us-gov-east-1", Partition: "aws-us-gov", FIPS: true},
		a + ".dkr.ecr.cn-north-1.amazonaws.com.cn":                {Account: a, Region: "cn-north-1", Partition: "aws-cn"},
		a + ".dkr.ecr.eusc-de-east-1.amazonaws.eu":                {Account: a, Region: "eusc-de-east-1", Partition: "aws-eusc"},
		a + ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov":               {Account: a, Region: "us-isob-east-1", Partition: "aws-iso-b"},
		a + ".dkr.ecr.us-iso-east-1.c2s.ic.gov":                   {Account: a, Region: "us-iso-east-1", Partition: "aws-iso"},
		a + ".dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":              {Account: a, Region: "eu-isoe-west-1", Partition: "aws-iso-e"},
		a + ".dkr.ecr.us-isof-south-1.csp.hci.ic.gov":             {Account: a, Region: "us-isof-south-1", Partition: "aws-iso-f"},
		a + ".dkr-ecr.eu-west-1.on.aws":                           {Account: a, Region: "eu-west-1", Partition: "aws", DualStack: true},
		a + ".dkr-ecr-fips.us-west-2.on.aws":                      {Account: a, Region: "us-west-2", Partition: "aws", DualStack: true, FIPS: true},
		a + ".dkr-ecr.us-gov-west-1.on.aws":                       {Account: a, Region: "us-gov-west-1", Partition: "aws-us-gov", DualStack: true},
		a + ".dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn": {Account: a, Region: "cn-northwest-1", Partition: "aws-cn", DualStack: true},
		"public.ecr.aws":     {Region: "us-east-1", Partition: "aws", Public: true},
		"ecr-public.aws.com": {Region: "us-east-1", Partition: "aws", Public: true, DualStack: true},
	} {
		for _, spelling := range []struct{ in, host string }{
			{host, host},
			{strings.ToUpper(host), host},
			{host + ".", host},
			{host + ":443", host + ":443"},
			{host + ".:8443", host + ":8443"},
		} {
			want.Host = spelling.host
			if got, ok := ParseHost(spelling.in); !ok || got != want {
				t.Errorf("ParseHost(%q) = %+v, %t; want %+v", spelling.in, got, ok, want)
			}
		}
	}
}

// nearMisses look like ECR and are not.
func nearMisses() []string {
	const a = "111122223333"
	return []string{
		"", ".", ":443", "docker.io", "amazonaws.com", "ecr.aws", "dkr.ecr.us-east-1.amazonaws.com",
		a + ".dkr.ecr.us-east-1.amazonaws.com.evil.com",
		a + ".dkr.ecr.us-east-1.amazonaws.com.cn",
		a + ".dkr.ecr.cn-north-1.amazonaws.com",
		a + ".dkr.ecr.us-east-1.amazonaws.eu",
		a + ".dkr.ecr.us-iso-east-1.amazonaws.com",
		a + ".dkr.ecr.us-east-1.amazonaws.co",
		a + ".dkr.ecr.us-east-1.evilamazonaws.com",
		a + ".dkr.ecr.us-east-1.on.aws",
		a + ".dkr-ecr.us-east-1.amazonaws.com",
		a + ".dkr-ecr-fips.cn-north-1.on.amazonwebservices.com.cn",
		a + ".dkr.ecr-fips.us-east-1.on.aws",
		a + ".dkr-ecr.us-iso-east-1.on.aws",
		a + ".dkr.ecr.fips.us-east-1.amazonaws.com",
		a + ".dkr.ecrs.us-east-1.amazonaws.com",
		a + ".dkr.ecr.us-east-1.x.amazonaws.com",
		a + ".dkr.ecr..amazonaws.com",
		a + ".dkr.ecr.amazonaws.com",
		a + ".dkr.ecr.useast1.amazonaws.com",
		a + ".dkr.ecr.us-east-.amazonaws.com",
		a + ".dkr.ecr.us-east-1.amazonaws.com..",
		a + ".dkr.ecr.us-east-1.amazonaws.com:0",
		a + ".dkr.ecr.us-east-1.amazonaws.com:443:443",
		a + ".dkr.ecr.us-east-1.amazonaws.com/app",
		a + ".dkr.ecr.us-east-1.amazonaws.com@evil.com",
		"https://" + a + ".dkr.ecr.us-east-1.amazonaws.com",
		"x." + a + ".dkr.ecr.us-east-1.amazonaws.com",
		"11112222333.dkr.ecr.us-east-1.amazonaws.com",
		"1111222233334.dkr.ecr.us-east-1.amazonaws.com",
		"11112222333a.dkr.ecr.us-east-1.amazonaws.com",
		"evil-public.ecr.aws", "public.ecr.aws.evil.com", "public-ecr.aws", "xpublic.ecr.aws", "ecr-public.aws.com.cn",
		"[::1]:5000", "169.254.169.254",
	}
}

func TestParseHostRefusesNearMisses(t *testing.T) {
	for _, host := range nearMisses() {
		if r, ok := ParseHost(host); ok {
			t.Errorf("ParseHost(%q) = %+v", host, r)
		}
	}
}

func TestNames(t *testing.T) {
	names := Names{
		{Host: "Images.corp", Account: "111122223333", Region: "cn-north-1"},
		{Host: "127.0.0.1:5000", Account: "444455556666", Region: "us-east-1"},
		{Host: "broken.corp", Account: "444455556666", Region: "../../etc"},
	}
	if r, ok := names.Parse("images.CORP."); !ok || r.Account != "111122223333" || r.Partition != "aws-cn" || r.Region != "cn-north-1" {
		t.Errorf("images.corp: %+v, %t", r, ok)
	}
	if r, ok := names.Parse("127.0.0.1:5000"); !ok || r.Account != "444455556666" {
		t.Errorf("with a port: %+v, %t", r, ok)
	}
	if _, ok := names.Parse("111122223333.dkr.ecr.us-east-1.amazonaws.com"); !ok {
		t.Error("its own form is not recognised")
	}
	for _, host := range []string{"images.corp:443", "127.0.0.1", "127.0.0.1:5001", "evil-images.corp", "broken.corp"} {
		if r, ok := names.Parse(host); ok {
			t.Errorf("Parse(%q) = %+v", host, r)
		}
	}
}

func TestSame(t *testing.T) {
	parse := func(h string) Registry { r, _ := ParseHost(h); return r }
	r := parse("111122223333.dkr.ecr.us-east-1.amazonaws.com")
	if !r.Same(parse("111122223333.dkr-ecr-fips.us-east-1.on.aws:443")) {
		t.Error("another name of the registry is another registry")
	}
	for _, other := range []string{
		"444455556666.dkr.ecr.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-2.amazonaws.com", "public.ecr.aws",
	} {
		if r.Same(parse(other)) {
			t.Errorf("%s is the same registry", other)
		}
	}
}

func TestIsRegion(t *testing.T) {
	long := strings.Repeat("a", 28) // four less than the longest
	for region, want := range map[string]bool{
		"us-east-1": true, "us-gov-west-1": true, "ap-southeast-0": true, "ap-southeast-9": true, "a-b-c1": true, "z-b-c1": true,
		"a-b-1": false, "a-bb-1": true, long + "-b-1": true, long + "a-b-1": false,
		"us-east1": false, "useast1": false, "us--east1": false, "us-east--1": false, "-us-east-1": false, "us-east-1-": false,
		"us-east-a": false, "1-east-us": false, "9s-east-1": false, "us-east-/": false, "us-east-:": false, "`s-east-1": false, "{s-east-1": false,
		"US-east-1": false, "us-e.st-1": false, "us-e`st-1": false, "us-e{st-1": false, "us-e/st-1": false, "us-e:st-1": false,
		"us-a0z-1": true, "us-0a9-1": true, "": false, "-": false,
	} {
		if got := isRegion(region); got != want {
			t.Errorf("isRegion(%q) = %t", region, got)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range append(nearMisses(), "111122223333.DKR.ecr.us-east-1.amazonaws.com.:443", "111122223333.dkr-ecr.us-east-1.on.aws", "public.ecr.aws") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := ParseHost(s)
		if !ok {
			return
		}
		name, _, _ := strings.Cut(r.Host, ":")
		if again, ok := ParseHost(r.Host); !ok || again != r {
			t.Errorf("%q: %+v is not a fixed point", s, r)
		}
		if !strings.EqualFold(strings.Replace(s, ".:", ":", 1), r.Host) && !strings.EqualFold(s, r.Host+".") {
			t.Errorf("%q became %q", s, r.Host)
		}
		trusted := false
		for _, p := range partitions() {
			trusted = trusted || strings.HasSuffix(name, "."+p.suffix) || p.dualHosts != "" && strings.HasSuffix(name, "."+p.dualHosts)
		}
		if !trusted && name != "public.ecr.aws" && name != "ecr-public.aws.com" {
			t.Errorf("%q is taken for ECR", s)
		}
		if strings.ContainsAny(r.Region+r.Account, "/\\. \x00") {
			t.Errorf("%q: region %q, account %q", s, r.Region, r.Account)
		}
	})
}
