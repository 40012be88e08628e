package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
)

// PodSpec is where the names of image pull secrets belong: a pod's own spec, or
// the part of a custom resource that an operator makes pods from.
type PodSpec struct {
	Place   place.Place
	Node    *document.Tree
	Field   string         // imagePullSecrets, or the custom resource's word for it
	Present *document.Tree // its value, nil if it is absent
}

// pullSecretField names the field for custom resources that have it in their
// spec, by group and kind.
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

// podOf gives the pod spec that the images below a mapping belong to: the
// mapping itself, or else the one around it.
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
