package credprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func ask(version, image string) string {
	return `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/` + version + `","image":"` + image + `"}`
}

func TestServe(t *testing.T) {
	n := newNode(t)
	p := &Provider{Rules: shared(), Tokens: n.Tokens}
	for _, c := range []struct {
		name, version, image  string
		keyType, duration     string
		key, user, serviceKey string
	}{
		{"v1", "v1", usEast + "/app", "Registry", "10m0s", usEast, "AWS", ""},
		{"v1beta1", "v1beta1", usEast + "/app", "Registry", "10m0s", usEast, "AWS", ""},
		{"v1alpha1", "v1alpha1", usEast + "/app:v1", "Registry", "10m0s", usEast, "AWS", ""},
		{"port", "v1", usEast + ":443/app", "Registry", "10m0s", usEast + ":443", "AWS", ""},
		{"login", "v1", "registry.corp:5555/x", "Registry", "10m0s", "registry.corp:5555", "port", ""},
		{"login with a path", "v1", "registry.corp/team/app", "Image", "10m0s", "registry.corp/team/app", "team", ""},
		{"login beside one with a path", "v1", "registry.corp/x", "Image", "10m0s", "registry.corp/x", "all", ""},
		{"Docker Hub", "v1", "docker.io/library/nginx", "Registry", "10m0s", "docker.io", "hub", ""},
		{"not ours", "v1", "ghcr.io/x", "Image", "0s", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Serve(context.Background(), strings.NewReader(ask(c.version, c.image)), &out, p); err != nil {
				t.Fatal(err)
			}
			var got response
			d := json.NewDecoder(bytes.NewReader(out.Bytes()))
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			if got.Kind != "CredentialProviderResponse" || got.APIVersion != apiGroup+c.version || got.CacheKeyType != c.keyType || got.CacheDuration != c.duration {
				t.Errorf("%s", &out)
			}
			switch auth, ok := got.Auth[c.key]; {
			case c.key == "" && (len(got.Auth) != 0 || !strings.Contains(out.String(), `"auth":{}`)):
				t.Errorf("%s", &out)
			case c.key != "" && (!ok || len(got.Auth) != 1 || auth.Username != c.user || auth.Password == ""):
				t.Errorf("%s", &out)
			}
		})
	}
}

func TestCacheDuration(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]string{
		12 * time.Hour:                 "10m0s",
		20 * time.Minute:               "10m0s",
		16 * time.Minute:               "8m0s",
		10 * time.Minute:               "5m0s",
		10*time.Minute - time.Second:   "0s",
		-time.Minute:                   "0s",
		15*time.Minute + time.Second/3: "7m30s",
	} {
		if got := cacheDuration(now, now.Add(left), cacheFor).String(); got != want {
			t.Errorf("with %s left: %s, want %s", left, got, want)
		}
	}
	if got := cacheDuration(now, time.Time{}, cacheFor); got != 10*time.Minute {
		t.Errorf("without an end: %s", got)
	}
}

// badRequests are answered with an error that quotes nothing.
func badRequests() map[string]string {
	v1 := ask("v1", usEast+"/app")
	return map[string]string{
		"empty":            "",
		"blank":            " \n",
		"truncated":        v1[:len(v1)-2],
		"twice":            v1 + v1,
		"trailing":         v1 + "canary",
		"array":            "[]",
		"null":             "null",
		"binary":           "\x00\xff\x1f\x8bcanary",
		"wrong kind":       strings.Replace(v1, "CredentialProviderRequest", "canary", 1),
		"no kind":          `{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"a"}`,
		"unknown version":  ask("v2canary", usEast+"/app"),
		"other group":      strings.Replace(v1, "credentialprovider.kubelet", "canary", 1),
		"no image":         ask("v1", ""),
		"image is a list":  `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":["canary"]}`,
		"image is a url":   ask("v1", "https://u:canary@h.corp/x"),
		"image has dots":   ask("v1", "h.corp/../canary"),
		"image is a glob":  ask("v1", "h.corp/canary*"),
		"image is binary":  ask("v1", `h.corp/canary\u0000`),
		"10 MB":            `{"image":"` + strings.Repeat("a", 10<<20) + `"}`,
		"10 MB of nesting": strings.Repeat("[", 10<<20),
		"1 MB of nesting":  strings.Repeat("[", 1<<20),
	}
}

func TestBadRequests(t *testing.T) {
	n := newNode(t)
	for name, in := range badRequests() {
		var out bytes.Buffer
		err := Serve(context.Background(), strings.NewReader(in), &out, &Provider{Tokens: n.Tokens})
		if err == nil || out.Len() != 0 {
			t.Errorf("%s: %v, answered %q", name, err, &out)
			continue
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("%s: %q", name, err)
		}
	}
	if calls, sessions := n.calls(); calls+sessions != 0 {
		t.Error("AWS was asked")
	}
}

func TestUnknownFieldsAreTolerated(t *testing.T) {
	n := newNode(t)
	in := strings.Replace(ask("v1", usEast+"/app"), "{", `{"serviceAccountToken":"canary","serviceAccountAnnotations":{"a":"b"},"new":[1],`, 1)
	var out bytes.Buffer
	if err := Serve(context.Background(), strings.NewReader(in), &out, &Provider{Tokens: n.Tokens}); err != nil || strings.Contains(out.String(), "canary") {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestServeWithholds(t *testing.T) {
	n := newNode(t)
	p := &Provider{Rules: Rules{Directories: []Directory{{Upstream: "*", Hosts: hosts("catch.corp"), AndUpstream: true}}}, Tokens: n.Tokens}
	var out bytes.Buffer
	var withheld *WithheldError
	err := Serve(context.Background(), strings.NewReader(ask("v1", usEast+"/app")), &out, p)
	if !errors.As(err, &withheld) || out.Len() != 0 {
		t.Errorf("%v, answered %q", err, &out)
	}
	if n := n.Count(fakeaws.ECR, ""); n != 0 {
		t.Errorf("a token that is withheld was fetched %d times", n)
	}
}

func FuzzServe(f *testing.F) {
	for _, in := range badRequests() {
		if len(in) < 1<<16 {
			f.Add([]byte(in))
		}
	}
	f.Add([]byte(ask("v1", "registry.corp/team/app@sha256:00")))
	f.Add([]byte(ask("v1beta1", "[::1]:5000/A:443")))
	rules := shared()
	n := newNode(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		before, _ := n.calls()
		err := Serve(context.Background(), bytes.NewReader(in), &out, &Provider{Rules: rules, Tokens: n.Tokens})
		switch {
		case err != nil && out.Len() > 0:
			t.Errorf("%v, and an answer: %s", err, &out)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%q", err)
		case err == nil && !json.Valid(out.Bytes()):
			t.Errorf("%q", &out)
		}
		if after, _ := n.calls(); after > before && !strings.Contains(strings.ToLower(string(in)), "ecr") && !bytes.Contains(in, []byte(`\u`)) && !strings.Contains(strings.ToLower(string(in)), "images.corp") {
			t.Errorf("ECR was asked for %q", in)
		}
	})
}
