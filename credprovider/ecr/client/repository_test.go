package client

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// The repository is created in the named registry, once.
func TestCreateRepository(t *testing.T) {
	s := newWorld(t)
	chain := s.chain(t, ecr.Options{})
	r := registry(t, "111122223333.dkr.ecr.eu-west-1.amazonaws.com")
	for range 2 { // the second time it is there
		if err := chain.CreateRepository(t.Context(), r, "mirror/library/nginx"); err != nil {
			t.Fatal(err)
		}
	}
	if err := chain.CreateRepository(t.Context(), registry(t, "public.ecr.aws"), "nginx"); err != nil {
		t.Fatal(err)
	}
	want := []string{"111122223333 eu-west-1 mirror/library/nginx", "public us-east-1 nginx"}
	if got := s.Repositories(); !slices.Equal(got, want) {
		t.Errorf("made %q, want %q", got, want)
	}
	if n := s.Count(fakeaws.ECR, ""); n > 0 {
		t.Errorf("%d tokens were asked for", n)
	}
}

// A refusal leads to the next source; the error has the reason of every source.
func TestCreateRepositoryDenied(t *testing.T) {
	s := newWorld(t)
	chain := s.chain(t, ecr.Options{})
	r := registry(t, "111122223333.dkr.ecr.eu-west-1.amazonaws.com")
	denied := fakeaws.Fault{Point: fakeaws.CreateRepository, Status: 400, Code: "AccessDeniedException", Message: "not authorized to perform: ecr:CreateRepository"}
	denied.Times = 1
	s.Inject(denied)
	if err := chain.CreateRepository(t.Context(), r, "app"); err != nil {
		t.Fatalf("the second source may: %v", err)
	}
	denied.Times = 0
	s.Inject(denied)
	err := chain.CreateRepository(t.Context(), r, "other")
	var e *ecr.RepositoryError
	if !errors.As(err, &e) || len(e.Errs) != 2 || !errors.Is(err, ecr.Denied) {
		t.Fatalf("%v, want both sources denied", err)
	}
	if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "ecr:CreateRepository") {
		t.Errorf("%q", err)
	}
}
