package cluster

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/gobuild"
)

// audienceRBAC lets kubelets ask for tokens with the audience of STS; NodeRestriction wants it.
const audienceRBAC = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: berth-service-account-tokens}
rules:
- {apiGroups: [""], resources: [` + providerconfig.Audience + `], verbs: [request-serviceaccounts-token-audience]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: berth-service-account-tokens}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: berth-service-account-tokens}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:nodes}
`

// roleOf returns the ARN of the role for the pods of a service account.
func roleOf(name string) string { return "arn:aws:iam::" + account + ":role/" + name }

// oidc is STS's trust in the API server: it checks the tokens of service accounts.
type oidc struct {
	keys map[string]*rsa.PublicKey

	mu   sync.Mutex
	seen []string // tokens, good or bad
}

// newOIDC reads the keys that the API server publishes.
func newOIDC(w *fixture) *oidc {
	w.Helper()
	var set struct {
		Keys []struct{ Kid, N, E string }
	}
	w.check(json.Unmarshal([]byte(w.kubectl("get", "--raw", "/openid/v1/jwks")), &set))
	o := &oidc{keys: map[string]*rsa.PublicKey{}}
	for _, k := range set.Keys {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		w.check(err)
		e, err := base64.RawURLEncoding.DecodeString(k.E)
		w.check(err)
		o.keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	if len(o.keys) == 0 {
		w.Fatal("the API server publishes no keys")
	}
	return o
}

// verify is the trust policy of every role: it takes the service account of its own name.
func (o *oidc) verify(token, role string) error {
	o.mu.Lock()
	o.seen = append(o.seen, token)
	o.mu.Unlock()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("not a JWT")
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss, Sub string
		Aud      []string
		Exp      int64
	}
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return err
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	key, sum := o.keys[header.Kid], sha256.Sum256([]byte(parts[0]+"."+parts[1]))
	switch {
	case header.Alg != "RS256" || key == nil:
		return errors.New("signed with an unknown key")
	case rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil:
		return errors.New("the signature is wrong")
	case claims.Iss != "https://kubernetes.default.svc", !slices.Equal(claims.Aud, []string{providerconfig.Audience}), claims.Exp <= time.Now().Unix():
		return fmt.Errorf("issuer %s, audience %q, expiry %d", claims.Iss, claims.Aud, claims.Exp)
	case role != roleOf(strings.TrimPrefix(claims.Sub, "system:serviceaccount:default:")):
		return fmt.Errorf("%s may not assume %s", claims.Sub, role)
	}
	return nil
}

// TestPodRoles: pods pull with the roles of their service accounts, each with its own, and with pull
// secrets.
func TestPodRoles(t *testing.T) {
	w := newFixture(t, "node")
	trust := newOIDC(w)
	w.aws.SetWebIdentity(trust.verify)
	// A repository may be read by the role of its name; "shared" by the node.
	w.ecr.SetPolicy(func(keyID, path string) bool {
		repository, _, _ := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/")
		owner, _, _ := strings.Cut(strings.TrimPrefix(w.aws.Owner(keyID), "arn:aws:sts::"+account+":assumed-role/"), "/")
		return repository == "shared" && keyID == "ASIAPROFILE" || repository == owner
	})
	for _, repository := range []string{"one", "two", "shared"} {
		w.check(w.ecrContent.Push(t.Context(), repository+":v1", w.image()))
	}
	programs := filepath.Join(w.root, providerDir)
	configuration := filepath.Join(w.root, providerConfig)
	w.check(os.MkdirAll(programs, 0o755))
	w.check(os.MkdirAll(filepath.Dir(configuration), 0o755))
	w.check(gobuild.Programs(t.Context(), filepath.Join("..", ".."), programs+"/", "./cmd/..."))
	text, err := providerconfig.Ours(providerconfig.Wanted{RoleAnnotations: []string{ecr.RoleAnnotation}}, nil)
	w.check(err)
	w.check(os.WriteFile(configuration, []byte(w.providerConfiguration(text)), 0o644))
	w.apply(programs, "registries:\n"+
		"- {host: "+ecrHost+", ecr: {serviceAccount: {}}}\n"+
		"- {host: "+otherECRHost+", ecr: {serviceAccount: {onMissingRole: node}}}\n")
	w.startNode(configuration, programs)
	for _, name := range []string{"one", "two", "without"} {
		w.kubectl("create", "serviceaccount", name)
		if name != "without" {
			w.kubectl("annotate", "serviceaccount", name, ecr.RoleAnnotation+"="+roleOf(name))
		}
	}
	one, two := ecrHost+"/one:v1", ecrHost+"/two:v1"

	// The control: without the right for the audience there is no token, and so no role.
	w.startAs("one", "node", "early", one)
	w.pullFails("early")
	if log := w.kubelet.Log(); !strings.Contains(log, "is not authorized to request tokens for this audience") || w.aws.Count(fakeaws.WebIdentity, "") > 0 {
		t.Errorf("kubelet got a token without the right for the audience: %s", tail(log, 10))
	}
	file := filepath.Join(w.dir, "rbac.yaml")
	w.check(os.WriteFile(file, []byte(audienceRBAC), 0o600))
	w.kubectl("apply", "-f", file)

	w.startAs("one", "node", "one", one)
	w.startAs("two", "node", "two", two)
	w.running("one")
	w.running("two")
	w.pulledBy("one", roleOf("one"))
	w.pulledBy("two", roleOf("two"))

	// The images are on the node, and are still not for the pods of other accounts.
	w.startAs("two", "node", "other", one)
	w.startAs("without", "node", "none", two)
	// Of this registry a pod without a role gets the node's.
	w.startAs("without", "node", "shared", otherECRHost+"/shared:v1")
	w.pullFails("other")
	w.pullFails("none")
	w.running("shared")
	w.pulledBy("shared", "")
	// And the account whose credential pulled it may use it again, without another request.
	asked := w.requestsBy(roleOf("one"))
	w.startAs("one", "node", "again", one)
	w.running("again")
	if n := w.requestsBy(roleOf("one")); n != asked {
		t.Errorf("%d more requests for an image that this account has pulled", n-asked)
	}
	w.pullSecretIsKept()
	trust.hidden(w)
}

// pullSecretIsKept: an image that was pulled with a pull secret is for pods with that secret. For a pod
// without it kubelet pulls again, without a login, and that pull fails.
func (w *fixture) pullSecretIsKept() {
	w.Helper()
	const repository = "team/app"
	w.check(w.first.Push(w.Context(), repository+":v1", w.image()))
	image := w.first.Addr() + "/" + repository + ":v1"
	w.kubectl("create", "secret", "docker-registry", "registry", "--docker-server="+w.first.Addr(),
		"--docker-username="+username, "--docker-password="+password)
	w.kubectl("create", "serviceaccount", "team")
	w.kubectl("patch", "serviceaccount", "team", "-p", `{"imagePullSecrets": [{"name": "registry"}]}`)
	// answers counts the registry's answers by their status.
	answers := func() map[int]int {
		w.Helper()
		requests, err := w.first.Served(w.Context())
		w.check(err)
		n := map[int]int{}
		for _, r := range requests {
			if strings.HasPrefix(r.URI, "/v2/"+repository+"/") {
				n[r.Status]++
			}
		}
		return n
	}
	w.startAs("team", "node", "secret", image)
	w.running("secret")
	pulled := answers()
	if pulled[http.StatusOK] == 0 {
		w.Fatalf("the image was not pulled: %v", pulled)
	}
	w.startAs("team", "node", "secret-again", image)
	w.running("secret-again")
	if n := answers(); !maps.Equal(n, pulled) {
		w.Errorf("for a pod with the secret the image was pulled again: %v, then %v", pulled, n)
	}
	w.startAs("without", "node", "no-secret", image)
	w.pullFails("no-secret")
	if n := answers(); n[http.StatusOK] != pulled[http.StatusOK] || n[http.StatusUnauthorized] <= pulled[http.StatusUnauthorized] {
		w.Errorf("kubelet did not pull again without a login: %v, then %v", pulled, n)
	}
}

// apply runs berth apply for the node.
func (w *fixture) apply(programs, config string) {
	w.Helper()
	file := filepath.Join(w.dir, "config.yaml")
	w.check(os.WriteFile(file, []byte("apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"+config), 0o600))
	cmd := exec.CommandContext(w.Context(), filepath.Join(programs, "berth"), "apply", "-c", file, "--root", w.root)
	cmd.Env = append(w.aws.Env(), "HOME="+w.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("berth apply: %v\n%s", err, out)
	}
}

func (w *fixture) running(name string) {
	w.Helper()
	w.until("pod "+name+" runs", func() error {
		p, err := w.pod(name)
		if err == nil && p.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("it is %s: %+v", p.Status.Phase, p.Status.ContainerStatuses)
		}
		return err
	})
}

// pullFails waits until a pod has not got its image.
func (w *fixture) pullFails(name string) {
	w.Helper()
	w.until("pod "+name+" gets no image", func() error {
		p, err := w.pod(name)
		if err != nil {
			return err
		}
		for _, s := range p.Status.ContainerStatuses {
			switch {
			case s.State.Running != nil:
				w.Fatalf("pod %s runs", name)
			case s.State.Waiting != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff"}, s.State.Waiting.Reason):
				return nil
			}
		}
		return fmt.Errorf("it is %+v", p.Status.ContainerStatuses)
	})
}

// ownerOf returns the ARN of the role that a token of ECR was issued for, "" for the node's token and
// for none.
func (w *fixture) ownerOf(token string) string {
	issued, _ := w.aws.Token(token)
	owner := w.aws.Owner(issued.KeyID)
	if at := strings.LastIndex(owner, "/"); at >= 0 {
		owner = owner[:at] // without the name of the session
	}
	return strings.Replace(strings.Replace(owner, ":sts:", ":iam:", 1), ":assumed-role/", ":role/", 1)
}

// requestsBy counts the requests with tokens of a role.
func (w *fixture) requestsBy(role string) int {
	n := 0
	for _, r := range w.ecr.Requests() {
		if r.Token != "" && w.ownerOf(r.Token) == role {
			n++
		}
	}
	return n
}

// pulledBy checks that every good request for a repository was with the token of this role, "" for
// the node's.
func (w *fixture) pulledBy(repository, role string) {
	w.Helper()
	pulls := 0
	for _, r := range w.ecr.Requests() {
		if !strings.HasPrefix(r.Path, "/v2/"+repository+"/") || r.Token == "" || r.Verdict != ecrstandin.LetIn {
			continue
		}
		pulls++
		if owner := w.ownerOf(r.Token); owner != role {
			w.Errorf("%s was pulled by %q, want %q", repository, owner, role)
		}
	}
	if pulls == 0 {
		w.Errorf("%s was not pulled", repository)
	}
}

// hidden checks that no token of a pod is in a log or in a file of Berth, and no token of ECR that a
// role got.
func (o *oidc) hidden(w *fixture) {
	w.Helper()
	o.mu.Lock()
	secrets := slices.Clone(o.seen)
	o.mu.Unlock()
	if len(secrets) == 0 {
		w.Fatal("STS saw no token")
	}
	for _, r := range w.ecr.Requests() {
		if r.Token != "" && w.ownerOf(r.Token) != "" {
			secrets = append(secrets, r.Token)
		}
	}
	texts := map[string]string{"kubelet's log": w.kubelet.Log()}
	for _, dir := range []string{"run/berth", "var/lib/berth", "etc"} {
		w.check(filepath.WalkDir(filepath.Join(w.root, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			texts[path] = string(raw)
			return err
		}))
	}
	for name, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				w.Errorf("%s holds a token of a pod", name)
			}
		}
	}
}
