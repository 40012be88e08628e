package providerconfig

import (
	"bytes"
	"os"
	"testing"
)

// The published manifests are made of the embedded file by "make generate".
func TestPublishedManifests(t *testing.T) {
	const dir = "../../manifests/kubelet/"
	single, err := os.ReadFile(dir + "credential-provider-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(single, Config()) {
		t.Errorf("%scredential-provider-config.yaml differs from the embedded file; run: make generate", dir)
	}
	entry, err := os.ReadFile(dir + "credential-providers.d/berth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, published, _ := bytes.Cut(entry, []byte("\napiVersion: "))
	_, embedded, found := bytes.Cut(Config(), []byte("\napiVersion: "))
	if !found || !bytes.Equal(published, embedded) {
		t.Errorf("%scredential-providers.d/berth.yaml differs from the embedded file below its head; run: make generate", dir)
	}
}
