package copy_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// TLS is verified with the CAs of the system and the config, and a client certificate is sent if
// there is one.
func TestCopyOverTLS(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 81, Images: 1})
	secure := imagestest.StartRegistry(t, fakeregistry.Options{TLS: true})
	other := imagestest.StartRegistry(t, fakeregistry.Options{})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.TLS().Certificate().Raw})
	pair := secure.TLS().TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := redact.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	guarded := fakeregistry.StartTLS(fakeregistry.Options{}, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	t.Cleanup(guarded.Close)

	for _, c := range []struct {
		name     string
		to       *fakeregistry.Server
		settings registry.Settings
		want     string // in the error; "" for none
	}{
		{"its authority", secure, registry.Settings{CA: ca}, ""},
		{"unknown authority", secure, registry.Settings{}, "certificate signed by unknown authority"},
		{"not verified", secure, registry.Settings{InsecureSkipVerify: true}, ""},
		{"no TLS there", other, registry.Settings{}, "set plainHTTP"},
		{"plain http where TLS is", secure, registry.Settings{PlainHTTP: true}, "400 Bad Request"},
		{"a client certificate", guarded, registry.Settings{CA: ca, Cert: ca, Key: key}, ""},
		{"no client certificate", guarded, registry.Settings{CA: ca}, "certificate required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.settings.Host, c.settings.Reach = c.to.Addr(), true
			r := copyImages(t, &copy.Copier{Access: registry.Access{Settings: []registry.Settings{c.settings}}}, images, "", c.to.Addr()+"/"+strings.ReplaceAll(strings.ToLower(c.name), " ", "-"))[0]
			if c.want == "" && r.Status != copy.StatusCopied || c.want != "" && (r.Status != copy.StatusFailed || !strings.Contains(r.Error, c.want)) {
				t.Errorf("%s %q, want %q", r.Status, r.Error, c.want)
			}
			if strings.Contains(r.Error, "\n") || strings.Contains(r.Error, "https://") {
				t.Errorf("%q", r.Error)
			}
		})
	}
}
