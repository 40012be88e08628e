package registry

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
)

// The limit is asked for with the login of docker.io.
func TestHubLimit(t *testing.T) {
	hub := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: imagestest.Canary, Token: true})
	hub.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || r.Header.Get("Authorization") == "" {
			return false
		}
		w.Header().Set("RateLimit-Limit", "200;w=21600")
		w.Header().Set("RateLimit-Remaining", "199;w=21600")
		return true
	})
	got, who, err := Access{Logins: imagestest.Logins(imagestest.Login("docker.io", ""))}.hubLimit(t.Context(), hub.Addr())
	if want := (dockerhublimit.Limit{Limited: true, Total: 200, Remaining: 199, Window: 6 * time.Hour}); err != nil || got != want || who != "user" {
		t.Errorf("%+v %q %v, want %+v", got, who, err, want)
	}
	wrong := Access{Logins: imagestest.Logins(imagestest.Login("docker.io", ""))}
	hub.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return r.URL.Path == "/token"
	})
	if _, _, err := wrong.hubLimit(t.Context(), hub.Addr()); err == nil || strings.Contains(err.Error(), imagestest.Canary) {
		t.Errorf("%v", err)
	}
}
