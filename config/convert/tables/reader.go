// Package tables reads the formats with the tables mirrors and configs: containerd's config.toml,
// and the registries.yaml of k3s and RKE2, which Rancher writes from a Cluster. The tables are the
// same; the programs treat them differently.
//
// Start reading at [Containerd], [K3s] and [Rancher].
package tables

import (
	"github.com/berth-registry/berth/config/convert/draft"
)

// reader is a draft with what is read from the tables mirrors, configs and auths.
type reader struct {
	*draft.Draft
	version    int             // of containerd's config.toml
	direct     map[string]bool // upstreams that are asked directly, without "*"
	configured map[string]bool // registries named in configs
	authed     map[string]bool // registries named in auths
	// mentionsHub says that the input names docker.io outside configs.
	mentionsHub bool
	noEffect    string // reason why no setting of the input had an effect
}

func newReader(d *draft.Draft) *reader {
	return &reader{Draft: d, direct: map[string]bool{}, configured: map[string]bool{},
		authed: map[string]bool{}}
}
