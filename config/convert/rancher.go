package convert

import (
	"fmt"
)

// rancherFields are the fields of a Cluster of provisioning.cattle.io/v1 that configure the image
// sources of its nodes (pkg/apis/rke.cattle.io/v1 in https://github.com/rancher/rancher). Rancher
// writes them into the registries.yaml of k3s and RKE2 on each node.
func rancherFields() fields {
	return fields{"spec": {"rkeConfig": {"registries": nil}}}
}

func fromRancher(base *draft, root cursor) {
	d := newTables(base)
	registries := root
	for _, name := range []string{"spec", "rkeConfig", "registries"} {
		if registries = registries.get(name); !registries.mapping("mirrors: and configs: below spec.rkeConfig.registries") {
			if registries.absent() {
				d.refuseEmpty("has no spec.rkeConfig.registries")
			}
			return
		}
	}
	if registries.get("mirrors").empty() && registries.get("configs").empty() {
		d.refuseEmpty("has empty spec.rkeConfig.registries")
		return
	}
	d.note("On the nodes Rancher writes these settings into registries.yaml of k3s or RKE2, and k3s writes its certs.d again whenever it starts: " +
		"remove them from the cluster, and set containerd.certsDir to /var/lib/rancher/rke2/agent/etc/containerd/certs.d (k3s: the same below /var/lib/rancher/k3s).")
	mirrors := d.readMirrors(registries.get("mirrors"))
	d.fallbackNote(mirrors)
	d.rancherConfigs(registries.get("configs"))
	d.placeMirrors(mirrors)
	d.unread(registries)
}

// rancherConfigs reads configs. Their logins and certificates are in Secrets of the cluster on
// which Rancher runs.
func (d *tables) rancherConfigs(table cursor) {
	for _, c := range d.configEntries(table, "the registry's host[:port], and below it authConfigSecretName: or insecureSkipVerify:") {
		a, r := d.configHost(c)
		if r == nil || !c.mapping("authConfigSecretName: or insecureSkipVerify: below it") {
			continue
		}
		r.named = true
		if auth := c.get("authConfigSecretName"); auth.text() != "" {
			d.lose(auth.loss("the login is in a Secret of Rancher's cluster, not in this file",
				fmt.Sprintf("%s; write username and passwordFile for %s under registries", noLogin, r.host)))
		}
		if client := c.get("tlsSecretName"); client.text() != "" {
			d.lose(client.loss("the client certificate is in a Secret of Rancher's cluster, not in this file",
				fmt.Sprintf("%s is asked without one; write it to files of the node and name them in tls.certFile and tls.keyFile", r.host)))
		}
		if ca := c.get("caBundle"); ca.text() != "" {
			d.lose(ca.loss("the certificate authority is given as text, and a RegistryConfig names files",
				fmt.Sprintf("%s is verified by the node's own authorities; write the bundle, decoded from base64, to a file of the node and name it in tls.caFile", r.host)))
		}
		if skip := c.get("insecureSkipVerify"); skip.boolValue() {
			d.placeTLS(skip, tlsFiles{skipVerify: true}, a, r)
		}
	}
}
