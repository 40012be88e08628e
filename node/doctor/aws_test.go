package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/node/doctor"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func TestMetadata(t *testing.T) {
	for status, level := range map[int]doctor.Level{200: doctor.OK, 403: doctor.Warn, 404: doctor.Warn} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut || r.URL.Path != "/latest/api/token" || r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
				t.Errorf("%s %s", r.Method, r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte("not-told"))
		}))
		p := bed(t, running+ecrConfig)
		p.Getenv = func(name string) string {
			return map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL + "/"}[name]
		}
		if found := find(doctor.Examine(t.Context(), p), "metadata"); len(found) != 1 || found[0].Level != level {
			t.Errorf("%d: %+v", status, found)
		}
		server.Close()
	}
	// This service accepts the connection and does not answer.
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	p := bed(t, running+ecrConfig)
	p.Client = &http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	p.Getenv = func(name string) string {
		return map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL}[name]
	}
	if found := find(doctor.Examine(t.Context(), p), "metadata"); len(found) != 1 || !strings.Contains(found[0].Remedy, "hop limit") {
		t.Errorf("%+v", found)
	}
}

// With tokens from static keys, the metadata service is not needed.
func TestMetadataIsNotNeeded(t *testing.T) {
	aws, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	for _, e := range aws.Env() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	aws.AddKey(fakeaws.Key{ID: "AKIAX", Secret: "not-told"})
	p := bed(t, running+ecrConfig+"ecr: {credentials: [{instanceProfile: {}}, {static: {accessKeyID: AKIAX, secretAccessKey: not-told}}]}\n")
	p.Getenv = os.Getenv
	m, err := reconcile.Open(p.Machine.Root.Path("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Apply(t.Context(), p.Config, nil); err != nil {
		t.Fatal(err)
	}
	if found := find(doctor.Examine(t.Context(), p), "metadata"); len(found) != 1 || found[0].Level != doctor.OK || found[0].Remedy != "" {
		t.Errorf("%+v", found)
	}
}
