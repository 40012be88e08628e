package kubelet

import (
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestPulledImageIsForEveryPod: a second pod may use what a login of the node has pulled, whether it
// came through a header or through the provider, under each policy of kubelet (KEP-2535). The image
// is not pulled again.
func TestPulledImageIsForEveryPod(t *testing.T) {
	b := newDaemonFixture(t)
	for _, policy := range []string{"NeverVerify", "NeverVerifyPreloadedImages", "AlwaysVerify"} {
		for _, way := range []string{"header", "provider"} {
			name := map[string]string{"NeverVerify": "never", "NeverVerifyPreloadedImages": "default", "AlwaysVerify": "always"}[policy] + "-" + way
			t.Run(name, func(t *testing.T) {
				s := newFixture(t, b, name)
				s.more = "imagePullCredentialsVerificationPolicy: " + policy + "\n"
				if way == "header" {
					// Without matchImages for it, kubelet does not ask the provider.
					s.config = config(s.T, "  - \"*.dkr.ecr.*.amazonaws.com\"\n", "  - other.corp\n")
					s.apply("registries:\n- host: " + ecrHost + "\n")
				}
				s.start()
				s.runs()
				s.servedTo(profileKey)
				pulls := requests(s.far)
				if pulls == 0 {
					s.Fatal("the image was not pulled from the registry")
				}
				s.pod("second")
				s.runsWithin("second", podTime)
				if again := requests(s.far); again != pulls {
					s.Errorf("%d requests for the manifest after the first pod, %d after the second", pulls, again)
				}
			})
		}
	}
}

// requests counts the requests that a registry got.
func requests(d *upstream.Decoy) int { return len(d.Requests()) }

// TestPreloadedImage: an image that kubelet did not pull is pulled again under AlwaysVerify alone,
// and the header is enough for it.
func TestPreloadedImage(t *testing.T) {
	b := newDaemonFixture(t)
	for policy, again := range map[string]bool{"NeverVerifyPreloadedImages": false, "AlwaysVerify": true} {
		t.Run(policy, func(t *testing.T) {
			s := newFixture(t, b, map[bool]string{false: "kept", true: "verified"}[again])
			s.more = "imagePullCredentialsVerificationPolicy: " + policy + "\n"
			s.config = config(s.T, "  - \"*.dkr.ecr.*.amazonaws.com\"\n", "  - other.corp\n")
			s.apply("registries:\n- host: " + ecrHost + "\n")
			if _, err := s.daemon.Pull(t.Context(), s.image, nil); err != nil {
				t.Fatal(err)
			}
			before := requests(s.far)
			s.start()
			s.runs()
			if after := requests(s.far); (after > before) != again {
				t.Errorf("%d requests before the pod, %d after it; pulled again must be %t", before, after, again)
			}
		})
	}
}
