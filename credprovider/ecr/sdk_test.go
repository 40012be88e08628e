package ecr

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// Our three calls are held against the SDK's clients: they go to the same
// endpoints, and the fake that they are tested with satisfies the clients, too.

// sdkRegions has a region of every partition, and several of the largest.
func sdkRegions() []string {
	return []string{
		"us-east-1", "us-west-2", "eu-central-1", "ap-southeast-7", "mx-central-1", "il-central-1",
		"us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1", "eusc-de-east-1",
		"us-iso-east-1", "us-iso-west-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "us-isof-east-1",
	}
}

func TestEndpointsAreThoseOfTheSDK(t *testing.T) {
	ctx := context.Background()
	none := func(string) string { return "" }
	for _, region := range sdkRegions() {
		for _, v := range []struct{ fips, dual bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			r := Registry{Account: "111122223333", Region: region, Partition: partitionOf(region).id, FIPS: v.fips, DualStack: v.dual}
			t.Run(fmt.Sprintf("%s fips=%t dualstack=%t", region, v.fips, v.dual), func(t *testing.T) {
				want, err := sdkecr.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sdkecr.EndpointParameters{
					Region: &region, UseFIPS: &v.fips, UseDualStack: &v.dual})
				if err != nil {
					t.Fatal(err)
				}
				if got := tokenAPI(r, none); got.url != want.URI.String() {
					t.Errorf("ECR: %s, the SDK says %s", got.url, want.URI.String())
				}
				wantSTS, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
					Region: &region, UseFIPS: &v.fips, UseDualStack: &v.dual})
				if err != nil {
					t.Fatal(err)
				}
				if got := roleAPI(r, none); got.url != wantSTS.URI.String() {
					t.Errorf("STS: %s, the SDK says %s", got.url, wantSTS.URI.String())
				}
			})
		}
	}
	for _, dual := range []bool{false, true} {
		region := publicRegion
		want, err := ecrpublic.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, ecrpublic.EndpointParameters{
			Region: &region, UseFIPS: aws.Bool(false), UseDualStack: &dual})
		if err != nil {
			t.Fatal(err)
		}
		if got := tokenAPI(Registry{Public: true, Region: region, DualStack: dual}, none); got.url != want.URI.String() || got.service != "ecr-public" {
			t.Errorf("public: %+v, the SDK says %s", got, want.URI.String())
		}
	}
}

func TestEndpointOverrideWins(t *testing.T) {
	env := map[string]string{envECR: "http://127.0.0.1:1", envECRPublic: "http://127.0.0.1:2", envSTS: "http://127.0.0.1:3"}
	getenv := func(n string) string { return env[n] }
	r := Registry{Region: "us-east-1", FIPS: true, DualStack: true}
	if a := tokenAPI(r, getenv); a.url != env[envECR] || a.region != "us-east-1" {
		t.Errorf("ECR: %+v", a)
	}
	if a := roleAPI(r, getenv); a.url != env[envSTS] {
		t.Errorf("STS: %+v", a)
	}
	r.Public = true
	if a := tokenAPI(r, getenv); a.url != env[envECRPublic] {
		t.Errorf("public: %+v", a)
	}
}

func TestTheFakeSatisfiesTheSDK(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	meta := imds.New(imds.Options{Endpoint: w.MetadataURL()})
	role := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta })
	keys, err := role.Retrieve(ctx)
	if err != nil || keys.AccessKeyID != profileKey.ID {
		t.Fatalf("metadata: %q, %v", keys.AccessKeyID, err)
	}
	private, err := sdkecr.New(sdkecr.Options{Region: "eu-west-1", BaseEndpoint: aws.String(w.APIURL()), Credentials: role}).
		GetAuthorizationToken(ctx, nil)
	if err != nil || len(private.AuthorizationData) != 1 || private.AuthorizationData[0].ExpiresAt == nil {
		t.Fatalf("ECR: %+v, %v", private, err)
	}
	public, err := ecrpublic.New(ecrpublic.Options{Region: publicRegion, BaseEndpoint: aws.String(w.APIURL()), Credentials: role}).
		GetAuthorizationToken(ctx, nil)
	if err != nil || public.AuthorizationData == nil || public.AuthorizationData.AuthorizationToken == nil {
		t.Fatalf("ECR Public: %+v, %v", public, err)
	}
	assumed, err := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: aws.String(w.APIURL()), Credentials: role}).
		AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::111122223333:role/puller"), RoleSessionName: aws.String("x")})
	if err != nil || assumed.Credentials == nil || *assumed.Credentials.AccessKeyId != w.Assumed("arn:aws:iam::111122223333:role/puller") {
		t.Fatalf("STS: %+v, %v", assumed, err)
	}
	if n := w.Count(fakeaws.ECR, profileKey.ID); n != 1 {
		t.Errorf("%d calls of ECR are counted", n)
	}
}
