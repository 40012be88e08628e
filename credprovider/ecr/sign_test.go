package ecr

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"
)

// TestSignsAsTheSDK: for whatever request, endpoint and keys, the signature is
// that of the SDK's signer.
func TestSignsAsTheSDK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keys{
			id:     rapid.StringMatching(`[A-Z0-9]{16,20}`).Draw(t, "id"),
			secret: rapid.StringMatching(`[!-~]{1,60}`).Draw(t, "secret"),
		}
		if rapid.Bool().Draw(t, "temporary") {
			k.session = rapid.StringMatching(`[!-~]{1,200}`).Draw(t, "session")
		}
		a := api{
			service: rapid.SampledFrom([]string{"ecr", "ecr-public", "sts"}).Draw(t, "service"),
			region:  rapid.StringMatching(`[a-z]{2}-[a-z]{4,9}-[1-9]`).Draw(t, "region"),
			url: "https://" + rapid.StringMatching(`[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?`).Draw(t, "host") +
				rapid.StringMatching(`(/[a-zA-Z0-9 ~._+@:$&!=-]{0,9}){1,3}`).Draw(t, "path") +
				rapid.SampledFrom([]string{"", "?x=1", "?b=2&a=x%20y&a=+w"}).Draw(t, "query"),
		}
		body := rapid.StringN(1, 200, -1).Draw(t, "body")
		header := http.Header{
			"Content-Type": {"application/x-amz-json-1.1"},
			"X-Amz-Target": {rapid.StringMatching(`[A-Za-z_.0-9]{1,20}(  ?[a-z]{1,3})?`).Draw(t, "target")},
		}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0)

		request := func() *http.Request {
			req, err := http.NewRequest(http.MethodPost, a.url, strings.NewReader(body))
			if err != nil {
				t.Skip(err) // a generated host with a dot too many
			}
			req.Header = header.Clone()
			return req
		}
		ours, theirs := request(), request()
		sign(ours, body, a, k, at)
		credentials := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session}
		if err := v4.NewSigner().SignHTTP(context.Background(), credentials, theirs, hexSum(body), a.service, a.region, at); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
			if got, want := ours.Header.Get(name), theirs.Header.Get(name); got != want {
				t.Fatalf("%s\n%s: %s\nthe SDK: %s", a.url, name, got, want)
			}
		}
	})
}
