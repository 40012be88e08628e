package tables

import (
	"fmt"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
)

// RancherFields are the fields of a Cluster of provisioning.cattle.io/v1 that configure the image
// sources of its nodes (pkg/apis/rke.cattle.io/v1 in https://github.com/rancher/rancher). Rancher
// writes them into the registries.yaml of k3s and RKE2 on each node.
func RancherFields() source.Fields {
	return source.Fields{"spec": {"rkeConfig": {"registries": nil}}}
}

// Rancher reads the Cluster of one downstream cluster.
func Rancher(base *draft.Draft, root source.Cursor) {
	d := newReader(base)
	registries := root
	for _, name := range []string{"spec", "rkeConfig", "registries"} {
		registries = registries.Get(name)
		if !registries.Mapping("mirrors: and configs: below spec.rkeConfig.registries") {
			if registries.Absent() {
				d.RefuseEmpty("has no spec.rkeConfig.registries")
			}
			return
		}
	}
	if registries.Get("mirrors").Empty() && registries.Get("configs").Empty() {
		d.RefuseEmpty("has empty spec.rkeConfig.registries")
		return
	}
	d.Note("On the nodes Rancher writes these settings into registries.yaml of k3s or RKE2, and " +
		"k3s writes its certs.d again whenever it starts: " +
		"remove them from the cluster, and set containerd.certsDir to " +
		"/var/lib/rancher/rke2/agent/etc/containerd/certs.d (k3s: the same below " +
		"/var/lib/rancher/k3s).")
	mirrors := d.readMirrors(registries.Get("mirrors"))
	d.fallbackNote(mirrors)
	d.rancherConfigs(registries.Get("configs"))
	d.placeMirrors(mirrors)
	d.Unread(registries)
}

// rancherConfigs reads configs. Their logins and certificates are in Secrets of the cluster on
// which Rancher runs.
func (d *reader) rancherConfigs(table source.Cursor) {
	for _, c := range d.configEntries(table, "the registry's host[:port], and below it "+
		"authConfigSecretName: or insecureSkipVerify:") {
		a, r := d.configHost(c)
		if r == nil || !c.Mapping("authConfigSecretName: or insecureSkipVerify: below it") {
			continue
		}
		r.Named = true
		if auth := c.Get("authConfigSecretName"); auth.Text() != "" {
			d.Lose(auth.Loss("the login is in a Secret of Rancher's cluster, not in this file",
				fmt.Sprintf("%s; write username and passwordFile for %s under registries",
					draft.NoLogin, r.Host)))
		}
		if client := c.Get("tlsSecretName"); client.Text() != "" {
			d.Lose(client.Loss("the client certificate is in a Secret of Rancher's cluster, not "+
				"in this file",
				fmt.Sprintf("%s is asked without one; write it to files of the node and name "+
					"them in tls.certFile and tls.keyFile", r.Host)))
		}
		if ca := c.Get("caBundle"); ca.Text() != "" {
			d.Lose(ca.Loss("the certificate authority is given as text, and a RegistryConfig "+
				"names files",
				fmt.Sprintf("%s is verified by the node's own authorities; write the bundle, "+
					"decoded from base64, to a file of the node and name it in "+
					"tls.caFile", r.Host)))
		}
		if skip := c.Get("insecureSkipVerify"); skip.Bool() {
			d.placeTLS(skip, draft.TLS{SkipVerify: true}, a, r)
		}
	}
}
