package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
)

// PodSpec is the mapping in which image pull secrets are listed: a pod's spec, or the part of a
// custom resource from which an operator makes pods.
type PodSpec struct {
	Place   place.Place
	Node    *document.Tree
	Field   string         // imagePullSecrets, or the custom resource's name for it
	Present *document.Tree // its value, nil if it is missing
}

// pullSecretField returns the name of the field in the spec of known custom resources, by group and
// kind; "" for others.
func pullSecretField(o object) string {
	group, _, _ := strings.Cut(o.apiVersion, "/")
	switch group + " " + o.kind {
	case "app.redislabs.com RedisEnterpriseCluster":
		return "pullSecrets"
	case "monitoring.coreos.com Prometheus", "monitoring.coreos.com Alertmanager", "monitoring.coreos.com ThanosRuler":
		return "imagePullSecrets"
	}
	return ""
}

// podOf returns the pod spec for the images below a mapping: the mapping itself, or the one around
// it.
func (f *finder) podOf(t *document.Tree, fields []document.Pair, key string) *PodSpec {
	field := ""
	switch {
	case len(f.path) == 1 && key == "spec" && pullSecretField(f.object) != "":
		field = pullSecretField(f.object)
	case isSequence(document.Get(fields, "containers")) && f.object.kind != "" && pullSecretField(f.object) == "":
		field = "imagePullSecrets"
	default:
		return f.pod
	}
	pod := &PodSpec{Place: f.placeHere(t, ""), Node: t, Field: field, Present: document.Get(fields, field)}
	pod.Place.Field = strings.TrimPrefix(pod.Place.Field+"."+field, ".")
	return pod
}
