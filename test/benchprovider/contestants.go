package main

import (
	"path/filepath"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const (
	host    = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	request = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + host + `/app"}`
	// podRequest is for the role of the pod.
	podRole    = "arn:aws:iam::111122223333:role/pod"
	podToken   = "header.payload.signature"
	podRequest = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + host + `/app",` +
		`"serviceAccountToken":"` + podToken + `","serviceAccountAnnotations":{"eks.amazonaws.com/ecr-role-arn":"` + podRole + `"}}`
)

// role names a contestant in the limits.
type role string

const (
	floor       role = "floor"
	berthWarm   role = "berth warm"
	berthCold   role = "berth cold"
	ecrProvider role = "ecr-credential-provider"
	berthPod    role = "berth with the pod's role"
	ecrPod      role = "ecr-credential-provider with the pod's role"
	helperWarm  role = "docker-credential-ecr-login warm"
	helperCold  role = "docker-credential-ecr-login cold"
	helperKeys  role = "docker-credential-ecr-login warm, static keys"
)

// contestant is one program in one situation, with its measurements.
type contestant struct {
	role role
	row  string // in the table
	program
	args  []string
	env   []string
	stdin string
	// cold is a directory that is removed before each execution; "" keeps the cache.
	cold string
	// ecrCalls is how often each execution must ask ECR: it shows whether the cache is used.
	ecrCalls int
	// stsCalls is how often each execution must exchange the pod's token.
	stsCalls int

	times []time.Duration
	peak  int64 // KiB
}

// contestants returns all contestants. All but one have the instance profile as their AWS identity,
// as on a node. The helper's cache is keyed by the access key, so it asks the metadata service even
// when the token is cached; the contestant with static keys shows its time without that. The floor
// reads the token file that berth keeps.
func contestants(p programs, aws *fakeaws.Server, dir string) []*contestant {
	env := append(aws.Env(), "HOME="+dir, "AWS_CONFIG_FILE="+filepath.Join(dir, "none"))
	warm, cold := filepath.Join(dir, "tokens"), filepath.Join(dir, "cold-tokens")
	cache, coldCache := filepath.Join(dir, "helper"), filepath.Join(dir, "cold-helper")
	keysCache := filepath.Join(dir, "keys-helper")
	rules := filepath.Join(dir, "none.json")
	with := func(more ...string) []string { return append(append([]string(nil), env...), more...) }
	both := p.berth // it starts the fetcher
	both.size += p.fetcher.size
	// berth comes first because it writes the file that the floor reads.
	return []*contestant{
		{
			role: berthWarm, row: "**berth-credential-provider**, token in its file",
			program: p.berth, args: []string{"--rules", rules, "--run-dir", warm}, env: env, stdin: request,
		},
		{
			role: berthCold, row: "**berth-credential-provider**, nothing there yet",
			program: both, args: []string{"--rules", rules, "--run-dir", cold}, env: env, stdin: request,
			cold: cold, ecrCalls: 1,
		},
		{
			role: floor, row: "floor: decodes stdin, reads one file, prints",
			program: p.floor, args: []string{filepath.Join(warm, "ecr_profile_us-east-1.json")}, env: env, stdin: request,
		},
		{
			role: ecrProvider, row: "ecr-credential-provider (keeps nothing)",
			program: p.ecrProvider, env: env, stdin: request, ecrCalls: 1,
		},
		{
			role: berthPod, row: "**berth-credential-provider**, the pod's own role",
			program: both, args: []string{"--rules", rules, "--run-dir", cold}, env: env, stdin: podRequest,
			ecrCalls: 1, stsCalls: 1,
		},
		{
			role: ecrPod, row: "ecr-credential-provider, the pod's own role",
			program: p.ecrProvider, env: env, stdin: podRequest, ecrCalls: 1, stsCalls: 1,
		},
		{
			role: helperWarm, row: "docker-credential-ecr-login, token in its cache",
			program: p.helper, args: []string{"get"}, env: with("AWS_ECR_CACHE_DIR=" + cache), stdin: host,
		},
		{
			role: helperKeys, row: "docker-credential-ecr-login, token in its cache, static keys",
			program: p.helper, args: []string{"get"}, stdin: host,
			env: with("AWS_ECR_CACHE_DIR="+keysCache, "AWS_ACCESS_KEY_ID="+staticKey.ID, "AWS_SECRET_ACCESS_KEY="+staticKey.Secret),
		},
		{
			role: helperCold, row: "docker-credential-ecr-login, nothing there yet",
			program: p.helper, args: []string{"get"}, env: with("AWS_ECR_CACHE_DIR=" + coldCache), stdin: host,
			cold: coldCache, ecrCalls: 1,
		},
	}
}
