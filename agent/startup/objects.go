package startup

import (
	"encoding/json"
	"time"
)

// meta is the part of an object's metadata that is used here (k8s.io/apimachinery, ObjectMeta).
type meta struct {
	Name              string
	Namespace         string
	UID               string
	ResourceVersion   string
	CreationTimestamp time.Time
	DeletionTimestamp *time.Time
	OwnerReferences   []struct {
		Kind       string
		Controller bool
	}
	ManagedFields []struct {
		Subresource string
		Time        time.Time
	}
}

// node is the part of a Node that is used here.
type node struct {
	Metadata meta
	Spec     struct{ Taints []taint }
}

// Identity implements [kubeapi.Object].
func (n node) Identity() (key, version string) { return n.Metadata.Name, n.Metadata.ResourceVersion }

// taint is a taint as the API server wrote it, so that none of its fields is lost.
type taint struct {
	key string
	raw json.RawMessage
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *taint) UnmarshalJSON(raw []byte) error {
	var fields struct{ Key string }
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	t.key, t.raw = fields.Key, append(json.RawMessage(nil), raw...)
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (t taint) MarshalJSON() ([]byte, error) { return t.raw, nil }

// without returns the taints of a node except those with a key, and whether there was one.
func (n node) without(key string) (rest []taint, found bool) {
	for _, t := range n.Spec.Taints {
		if t.key == key {
			found = true
		} else {
			rest = append(rest, t)
		}
	}
	return rest, found
}

// containerStatus is the state of a container, as far as it says why it does not run.
type containerStatus struct {
	Name  string
	Ready bool
	State struct {
		Waiting    *struct{ Reason string }
		Terminated *struct{ Reason string }
	}
}

// pod is the part of a Pod that is used here.
type pod struct {
	Metadata meta
	Spec     struct{ NodeName string }
	Status   struct {
		Phase      string
		Conditions []struct {
			Type, Status string
		}
		InitContainerStatuses []containerStatus
		ContainerStatuses     []containerStatus
	}
}

// Identity implements [kubeapi.Object].
func (p pod) Identity() (key, version string) {
	return p.Metadata.Namespace + "/" + p.Metadata.Name, p.Metadata.ResourceVersion
}

// ofDaemonSet reports whether a DaemonSet made the pod.
func (p pod) ofDaemonSet() bool {
	for _, owner := range p.Metadata.OwnerReferences {
		if owner.Controller && owner.Kind == "DaemonSet" {
			return true
		}
	}
	return false
}

// notReady returns why the pod is not ready, "" if it is. A pod is ready only after its init
// containers, one of which puts the credential provider on the node.
func (p pod) notReady() string {
	if p.Metadata.DeletionTimestamp != nil {
		return "is being deleted"
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" && p.Status.Phase == "Running" {
			return ""
		}
	}
	for _, all := range [][]containerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range all {
			switch waiting, ended := c.State.Waiting, c.State.Terminated; {
			case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
				return "is not ready: container " + c.Name + " " + waiting.Reason
			case ended != nil && !c.Ready && ended.Reason != "" && ended.Reason != "Completed":
				return "is not ready: container " + c.Name + " " + ended.Reason
			}
		}
	}
	return "is not ready"
}

// reportedAfter reports whether the status of the pod was written after a time, by the clock of the
// API server.
func (p pod) reportedAfter(t time.Time) bool {
	for _, f := range p.Metadata.ManagedFields {
		if f.Subresource == "status" && f.Time.After(t) {
			return true
		}
	}
	return false
}
