package copy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

func loginFor(host, password string) registry.Access {
	return registry.Access{Logins: credprovider.NewLogins([]credprovider.Login{{Host: host, Username: "user", Password: redact.New(password)}}, nil)}
}

// A refused login is sent once, to target or source and by check, however many images need it. All
// images fail for the same reason.
func TestRefusedLoginIsSentOnce(t *testing.T) {
	for _, token := range []bool{false, true} {
		open := imagestest.StartRegistry(t, fakeregistry.Options{})
		_, images := imagestest.Fill(t, open, sample.Options{Seed: 71, Images: 70})
		guarded := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: "hunter2", Token: token})
		logins := func() int {
			n := 0
			for _, r := range guarded.Requests() {
				if strings.HasPrefix(r.Authorization, "Basic ") {
					n++
				}
			}
			guarded.Forget()
			return n
		}
		access := loginFor(guarded.Addr(), "wrong")
		for name, run := range map[string]func() []string{
			"target": func() []string {
				return causes(copyImages(t, &copy.Copier{Access: access}, images, "", guarded.Addr()))
			},
			"source": func() []string {
				var there []reference.Reference
				for _, i := range images {
					there = append(there, imagestest.MustParse(t, guarded.Addr()+"/"+i.Repository()+":"+i.Tag()))
				}
				return causes(copyImages(t, &copy.Copier{Access: access}, there, "", open.Addr()+"/copy"))
			},
			"check": func() []string {
				found, _, err := (&check.Checker{Access: access}).Check(t.Context(), images, func(r reference.Reference) []check.Spot {
					target, err := reference.ParseTarget(guarded.Addr())
					if err != nil {
						t.Error(err)
					}
					return []check.Spot{check.SpotOn(target, r)}
				})
				if err != nil {
					t.Error(err)
				}
				var all []string
				for _, f := range found {
					if f.Finding != check.FoundUnreachable {
						t.Errorf("%s: %s", f.Image, f.Finding)
					}
					all = append(all, f.Cause())
				}
				return all
			},
		} {
			all := run()
			if n := logins(); n != 1 {
				t.Errorf("%s, token %v: the login was sent %d times", name, token, n)
			}
			for _, c := range all {
				if c != all[0] || !strings.Contains(c, "401") || !strings.Contains(c, "asked with the login of the config") {
					t.Errorf("%s, token %v: %q", name, token, c)
				}
			}
			if len(all) != len(images) {
				t.Errorf("%s: %d images", name, len(all))
			}
		}
		// The right login works, also in one run with a refused one.
		wantStatus(t, copyImages(t, &copy.Copier{Access: loginFor(guarded.Addr(), "hunter2")}, images, "", guarded.Addr()), copy.StatusCopied)
	}
}

// After a login was accepted, a refusal concerns only one repository.
func TestDeniedRepositoryEndsNothing(t *testing.T) {
	for _, token := range []bool{false, true} {
		source := imagestest.StartRegistry(t, fakeregistry.Options{})
		set, images := imagestest.Fill(t, source, sample.Options{Seed: 72, Images: 12})
		target := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: "hunter2", Token: token})
		denied := set.Images[0].Repository
		target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/"+denied+"/") {
				return false
			}
			w.WriteHeader(http.StatusUnauthorized)
			return true
		})
		for i, r := range copyImages(t, &copy.Copier{Access: loginFor(target.Addr(), "hunter2")}, images, "", target.Addr()) {
			if want := set.Images[i].Repository == denied; (r.Status == copy.StatusFailed) != want {
				t.Errorf("token %v: %s: %s %s", token, r.Image, r.Status, r.Error)
			}
		}
	}
}

func causes(results []copy.Copied) []string {
	var all []string
	for _, r := range results {
		all = append(all, r.Cause())
	}
	return all
}
