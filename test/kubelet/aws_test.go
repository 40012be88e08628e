package kubelet

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// account owns every ECR registry of these tests.
const account = "111122223333"

// ecrHost is the registry of most tests.
const ecrHost = account + ".dkr.ecr.us-east-1.amazonaws.com"

// canary is part of every secret, so that one search finds each of them.
const canary = "canary"

var (
	profileKey = fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-" + canary, Session: "profile-session-" + canary}
	staticKey  = fakeaws.Key{ID: "AKIASTATIC", Secret: "static-secret-" + canary}
)

// startAWS starts an AWS with an instance profile that knows the static keys.
func startAWS(t *testing.T) *fakeaws.Server {
	t.Helper()
	aws, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, aws.Close()) })
	aws.SetRole("node", profileKey)
	aws.AddKey(staticKey)
	return aws
}

// deny removes the permission to get registry tokens from a key.
func deny(aws *fakeaws.Server, key fakeaws.Key) {
	aws.Inject(fakeaws.Fault{
		Point: fakeaws.ECR, KeyID: key.ID, Status: 400, Code: "AccessDeniedException",
		Message: "User: arn:aws:sts::" + account + ":x is not authorized to perform: ecr:GetAuthorizationToken on resource: *",
	})
}

// nodeEnv returns the environment of a kubelet with the static keys and the fake metadata service.
func nodeEnv(t *testing.T, aws *fakeaws.Server) []string {
	return append(aws.Env(), "HOME="+t.TempDir(),
		"AWS_ACCESS_KEY_ID="+staticKey.ID, "AWS_SECRET_ACCESS_KEY="+staticKey.Secret)
}

// noSecret checks that a log has no secret.
func noSecret(t *testing.T, what, log string, tokens ...string) {
	t.Helper()
	for _, secret := range append(tokens, canary) {
		if strings.Contains(log, secret) {
			t.Errorf("a secret is in %s", what)
		}
	}
}

// reasons returns the lines of kubelet's log with the reason why a provider failed.
func reasons(log string) []string {
	var found []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "berth-credential-provider: ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
