package tables

import (
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
)

// K3s reads the registries.yaml of k3s and RKE2. Its types are in
// https://github.com/rancher/wharfie (pkg/registries/types.go), its interpretation in
// pkg/agent/containerd/config.go of https://github.com/k3s-io/k3s: the path of an endpoint is used
// literally unless it is empty, / or /v2, and the registry itself is asked last.
func K3s(base *draft.Draft, root source.Cursor) {
	d := newReader(base)
	const k3s = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
	d.Note("On a node that continues to run k3s, set containerd.certsDir to %s (RKE2: the same "+
		"below /var/lib/rancher/rke2), "+
		"and empty registries.yaml: k3s writes that directory again whenever it starts.", k3s)
	if !root.Mapping("mirrors: and configs:") {
		return
	}
	if root.Get("mirrors").Empty() && root.Get("configs").Empty() {
		d.RefuseEmpty("names neither mirrors nor configs")
		return
	}
	mirrors := d.readMirrors(root.Get("mirrors"))
	d.fallbackNote(mirrors)
	d.readConfigs(root.Get("configs"), "identity_token")
	if auths := root.Get("auths"); !auths.Absent() {
		d.LeaveOut(auths, "k3s passes auths on to nothing, and it had no effect",
			"write the logins under registries")
	}
	d.placeMirrors(mirrors)
	d.Unread(root)
}

func (d *reader) fallbackNote(mirrors []*foreignMirror) {
	if len(mirrors) > 0 {
		d.Note("Behind its mirrors each registry is asked itself, as in k3s. " +
			"If k3s ran with --disable-default-registry-endpoint, write upstreamFallback: false " +
			"into each mirror.")
	}
}
