package scripts

import (
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// registry NAME [sample|login|full|denied|ecr] starts a registry whose address
// is then in $NAME: with twelve images in it, with the login user:hunter2,
// without space, one that takes no pushes, or one of Amazon's that takes the
// tokens of an AWS of its own.
func registry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: registry NAME [sample|login|full|denied|ecr]")
	}
	kind := strings.Join(args[1:], "")
	if kind == "ecr" {
		s, env, stop, err := StartAmazon()
		ts.Check(err)
		ts.Defer(stop)
		for name, value := range env {
			ts.Setenv(name, value)
		}
		ts.Setenv(args[0], s.Addr())
		return
	}
	var o fakeregistry.Options
	if kind == "login" {
		o.Username, o.Password = "user", "hunter2"
	}
	s := fakeregistry.Start(o)
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.Addr())
	if kind == "sample" {
		_, err := sample.Make(fakeregistry.Store{Server: s}, sample.Options{Seed: 7, Images: 12, MinLayer: 10, MaxLayer: 2000})
		ts.Check(err)
	}
	if status := map[string]int{"full": http.StatusInsufficientStorage, "denied": http.StatusForbidden}[kind]; status != 0 {
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.WriteHeader(status)
			}
			return r.Method == http.MethodPost
		})
	}
}

// StartAmazon starts an AWS and a registry that takes its tokens, and has no
// repository until the AWS makes one. env leads a program there.
func StartAmazon() (s *fakeregistry.Server, env map[string]string, stop func(), err error) {
	aws, err := fakeaws.Start()
	if err != nil {
		return nil, nil, nil, err
	}
	key := fakeaws.Key{ID: "AKIASTATICSTATICSTAT", Secret: "staticsecret"}
	aws.AddKey(key)
	s = fakeregistry.Start(fakeregistry.Options{Fixed: []string{"other"}, NoMount: true, Admit: func(username, password string) bool {
		_, ok := aws.Token(password)
		return ok && username == "AWS"
	}})
	aws.OnRepository(s.AddRepository)
	env = map[string]string{}
	for _, pair := range aws.Env() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = key.ID, key.Secret
	return s, env, func() { s.Close(); aws.Close() }, nil
}
