package credprovider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const (
	pullerRole = "arn:aws:iam::111122223333:role/puller"
	otherRole  = "arn:aws:iam::111122223333:role/path/other"
	podToken   = "service-account-token-canary"
)

// podNode is a node whose STS gives pullerRole and otherRole to podToken.
func podNode(t testing.TB) *node {
	n := newNode(t)
	n.SetWebIdentity(func(token, role string) error {
		if token != podToken || role != pullerRole && role != otherRole {
			return fmt.Errorf("not authorized to perform sts:AssumeRoleWithWebIdentity with %s", token)
		}
		return nil
	})
	return n
}

// podRules are rules with one setting for the registry usEast.
func podRules(s ecr.ServiceAccount) Rules {
	return Rules{ECRNames: ecr.Names{{Host: usEast, Account: "111122223333", Region: "us-east-1", ServiceAccount: s}}}
}

// podRequest is a request of kubelet; annotations are pairs.
func podRequest(t testing.TB, image, token string, annotations ...string) string {
	t.Helper()
	r := map[string]any{"kind": "CredentialProviderRequest", "apiVersion": apiGroup + "v1", "image": image}
	if token != "" {
		r["serviceAccountToken"] = token
	}
	if len(annotations) > 0 {
		m := map[string]string{}
		for i := 0; i < len(annotations); i += 2 {
			m[annotations[i]] = annotations[i+1]
		}
		r["serviceAccountAnnotations"] = m
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPodRole: who pulls, with which token, and how long kubelet may keep it.
func TestPodRole(t *testing.T) {
	none := ecr.ServiceAccount{RoleAnnotation: ecr.RoleAnnotation, OnMissingRole: ecr.RoleOrNone}
	orNode := ecr.ServiceAccount{RoleAnnotation: ecr.RoleAnnotation, OnMissingRole: ecr.RoleOrNode}
	every := Rules{ECRNames: ecr.Names{{Host: ecr.EveryRegistry, ServiceAccount: none}}}
	divided := podRules(none)
	divided.Registries = []Login{{Host: usEast, Path: "team", Username: "u", Password: redact.New("p")}}
	mirrored := podRules(none)
	mirrored.Directories = []Directory{{Upstream: "quay.io", Hosts: hosts(usEast)}}
	captured := podRules(none)
	captured.Directories = []Directory{{Upstream: "*", Hosts: hosts("catch.corp"), AndUpstream: true}}
	const app = usEast + "/app"
	for _, c := range []struct {
		name        string
		rules       Rules
		image       string
		token       string
		annotations []string
		env         string
		faults      []fakeaws.Fault
		life        time.Duration
		want        string // the role, "node", "none", or the beginning of the error
		keyType     string // "" is Registry
		duration    string // "" is 1h0m0s for a role, 10m0s for the node and 0s for none
	}{
		{name: "role of the annotation, without rules", image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: pullerRole},
		{name: "role of the annotation", rules: podRules(none), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: pullerRole},
		{name: "ECR Public", rules: every, image: "public.ecr.aws/x/app", token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: pullerRole},
		{name: "another annotation", rules: podRules(ecr.ServiceAccount{RoleAnnotation: "corp/role", OnMissingRole: ecr.RoleOrNone}), image: app, token: podToken,
			annotations: []string{ecr.RoleAnnotation, otherRole, "corp/role", pullerRole}, want: pullerRole},
		{name: "role of the environment", image: app, token: podToken, env: pullerRole, want: pullerRole},
		{name: "the annotation wins over the environment", image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, otherRole}, env: pullerRole, want: otherRole},
		{name: "mirror", rules: mirrored, image: "quay.io/app", token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: pullerRole},
		{name: "a login for a part of the registry", rules: divided, image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: pullerRole, keyType: "Image"},

		{name: "short token", image: app, token: podToken, env: pullerRole, life: 30 * time.Minute, want: pullerRole, duration: "15m0s"},
		{name: "token about to end", image: app, token: podToken, env: pullerRole, life: 9 * time.Minute, want: pullerRole, duration: "0s"},

		{name: "no role, without rules", image: app, token: podToken, want: "none"},
		{name: "no role", rules: podRules(none), image: app, token: podToken, annotations: []string{"corp/role", pullerRole}, want: "none"},
		{name: "no role, the node's", rules: podRules(orNode), image: app, token: podToken, want: "node"},
		{name: "no token", rules: podRules(none), image: app, annotations: []string{ecr.RoleAnnotation, pullerRole}, env: pullerRole, want: "none"},
		{name: "no token, the node's", rules: podRules(orNode), image: app, env: pullerRole, want: "node"},
		{name: "no token, without rules", image: app, env: pullerRole, want: "node"},
		{name: "a registry that is not named", rules: podRules(none), image: otherAccount + "/app", token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole}, want: "node"},

		{name: "STS refuses", rules: podRules(orNode), image: app, token: "another-canary", annotations: []string{ecr.RoleAnnotation, pullerRole},
			want: "no ECR token for us-east-1: the pod's own role: assume the role " + pullerRole + " with a web identity: access denied: 403 AccessDenied: not authorized to perform sts:AssumeRoleWithWebIdentity with [redacted]"},
		{name: "STS fails", rules: podRules(orNode), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole},
			faults: []fakeaws.Fault{{Point: fakeaws.WebIdentity, Status: 500}}, want: "no ECR token for us-east-1: the pod's own role: assume the role"},
		{name: "STS fails once", rules: podRules(orNode), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole},
			faults: []fakeaws.Fault{{Point: fakeaws.WebIdentity, Status: 500, Times: 1}}, want: pullerRole},
		{name: "ECR refuses", rules: podRules(orNode), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole},
			faults: []fakeaws.Fault{{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
			want:   "no ECR token for us-east-1: the pod's own role: get a token from ecr in us-east-1: access denied"},
		{name: "no role's name", rules: podRules(orNode), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, "name-canary"},
			want: "the service account's annotation eks.amazonaws.com/ecr-role-arn is not the ARN of a role; write arn:aws:iam::"},
		{name: "an empty annotation", rules: podRules(orNode), image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, ""}, env: pullerRole,
			want: "the service account's annotation eks.amazonaws.com/ecr-role-arn is not the ARN of a role"},
		{name: "no role in the environment", rules: podRules(orNode), image: app, token: podToken, env: "name-canary", want: "AWS_ECR_ROLE_ARN is not the ARN of a role"},
		{name: "withheld", rules: captured, image: app, token: podToken, annotations: []string{ecr.RoleAnnotation, pullerRole},
			want: "credential of " + usEast + " withheld"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := podNode(t)
			for _, f := range c.faults {
				n.Inject(f)
			}
			if c.life > 0 {
				n.SetTokenLife(c.life)
			}
			p := &Provider{Rules: c.rules, Tokens: n.Tokens, Getenv: func(name string) string {
				return map[string]string{ecr.EnvRoleOfPod: c.env}[name]
			}}
			var out bytes.Buffer
			err := Serve(t.Context(), strings.NewReader(podRequest(t, c.image, c.token, c.annotations...)), &out, p)
			if c.want != "none" && c.want != "node" && !ecr.IsRoleARN(c.want) {
				if err == nil || out.Len() > 0 || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
					t.Errorf("answered %q; %v", &out, err)
				}
				n.onlyThePod(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got response
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			keyType, duration, key := "Registry", map[string]string{"none": "0s", "node": "10m0s"}[c.want], profileKey.ID
			if c.want == "none" {
				keyType = "Image"
			}
			if ecr.IsRoleARN(c.want) {
				duration, key = "1h0m0s", n.Assumed(c.want)
			}
			if c.keyType != "" {
				keyType = c.keyType
			}
			if c.duration != "" {
				duration = c.duration
			}
			if got.CacheKeyType != keyType || got.CacheDuration != duration {
				t.Errorf("cached as %s for %s, want %s for %s", got.CacheKeyType, got.CacheDuration, keyType, duration)
			}
			if c.want == "none" {
				if len(got.Auth) > 0 {
					t.Error("it has a credential")
				}
				n.onlyThePod(t)
				return
			}
			for name, l := range got.Auth {
				issued, ok := n.Token(l.Password)
				if !ok || issued.KeyID != key {
					t.Errorf("%s: the token was issued for %q, want %q", name, issued.KeyID, key)
				}
			}
			if len(got.Auth) != 1 {
				t.Errorf("%d credentials", len(got.Auth))
			}
			if c.want != "node" {
				n.onlyThePod(t)
			}
		})
	}
}

// onlyThePod checks that nothing was asked with the identity of the node, and nothing was written.
func (n *node) onlyThePod(t *testing.T) {
	t.Helper()
	for _, call := range n.Calls() {
		if call.Point != fakeaws.WebIdentity && (call.KeyID == profileKey.ID || call.KeyID == staticKey.ID || call.KeyID == "") {
			t.Errorf("the node's identity was used: %+v", call)
		}
	}
	if _, err := os.Lstat(n.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of tokens was written to: %v", err)
	}
}

// TestPodRoleHandsOver: the program without network code starts the other one, without a lock and
// only when the credential is not withheld.
func TestPodRoleHandsOver(t *testing.T) {
	n := podNode(t)
	handed := errors.New("handed over")
	n.HandOver = func(lock Locks) error {
		if lock != nil {
			t.Error("with a lock")
		}
		return handed
	}
	p := &Provider{Rules: podRules(ecr.ServiceAccount{RoleAnnotation: ecr.RoleAnnotation, OnMissingRole: ecr.RoleOrNone}), Tokens: n.Tokens}
	pod := Pod{Token: redact.New(podToken), Annotations: map[string]string{ecr.RoleAnnotation: pullerRole}}
	if _, err := p.Credential(t.Context(), usEast+"/app", pod); !errors.Is(err, handed) {
		t.Error(err)
	}
	p.Rules.Directories = []Directory{{Upstream: usEast, Hosts: hosts("catch.corp", usEast)}}
	if _, err := p.Credential(t.Context(), usEast+"/app", pod); errors.Is(err, handed) || err == nil {
		t.Errorf("it was handed over though it is withheld: %v", err)
	}
	n.onlyThePod(t)
}

// TestExplainPodRole: a pod is not known, so its role is named in place of a token.
func TestExplainPodRole(t *testing.T) {
	for missing, want := range map[ecr.MissingRole]string{
		ecr.RoleOrNone: "ecr 111122223333 us-east-1, the pod's own role (annotation corp/role)",
		ecr.RoleOrNode: "ecr 111122223333 us-east-1, the pod's own role (annotation corp/role), without one instance profile",
	} {
		n := podNode(t)
		p := &Provider{Rules: podRules(ecr.ServiceAccount{RoleAnnotation: "corp/role", OnMissingRole: missing}), Tokens: n.Tokens}
		e, err := p.Explain(t.Context(), usEast+"/app")
		if err != nil {
			t.Fatal(err)
		}
		if e.Credential == nil || e.Credential.Rule != want || len(e.Hosts) != 1 || e.Hosts[0].Rule+", "+e.Hosts[0].Source != want {
			t.Errorf("%s: %+v", missing, e)
		}
		if missing == ecr.RoleOrNone {
			n.onlyThePod(t)
		}
	}
}

func TestCheckPodRoles(t *testing.T) {
	r := podRules(ecr.ServiceAccount{RoleAnnotation: ecr.RoleAnnotation, OnMissingRole: ecr.RoleOrNode})
	header := Host{Host: "m.corp", Header: true}
	for _, c := range []struct {
		dir  Directory
		want string
	}{
		{Directory{Upstream: usEast, Hosts: []Host{{Host: "m.corp"}, {Host: usEast}}}, ""},
		{Directory{Upstream: "quay.io", Hosts: []Host{header}}, ""},
		{Directory{Upstream: otherAccount, Hosts: []Host{{Host: otherAccount, Header: true}}}, ""},
		{Directory{Upstream: usEast, Hosts: []Host{header}}, usEast + ": the hosts.toml for it has a login for m.corp in a header"},
		{Directory{Upstream: usEastFIPS, Hosts: []Host{header}}, usEastFIPS + ": the hosts.toml for it has a login for m.corp in a header"},
		{Directory{Upstream: "quay.io", Hosts: []Host{{Host: usEast, Header: true}}}, "quay.io: the hosts.toml for it has a login for " + usEast},
	} {
		r.Directories = []Directory{c.dir}
		if err := r.CheckPodRoles(); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.dir, err)
		}
	}
}

// TestPodRulesOnDisk: they survive the file, in a format that a program which does not know them
// refuses.
func TestPodRulesOnDisk(t *testing.T) {
	s := ecr.ServiceAccount{RoleAnnotation: "corp/role", OnMissingRole: ecr.RoleOrNode}
	r := podRules(s)
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "provider.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := ReadRules(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := again.ECRNames.Parse(usEast); !ok || got.ServiceAccount != s || !strings.Contains(string(b), `"version": 2`) {
		t.Errorf("%+v\n%s", got, b)
	}
}
