package fakekube

import "time"

const namespace = "kube-system"

// PodPath is the path of a pod of Berth, for [Server.Change] and [Server.Get].
func PodPath(name string) string { return "namespaces/" + namespace + "/pods/" + name }

// Taint returns a taint as kubelet registers it.
func Taint(key string) Object { return Object{"key": key, "effect": "NoSchedule"} }

// Taints returns the keys of a node's taints.
func Taints(node Object) (keys []string) {
	spec, _ := node["spec"].(Object)
	all, _ := spec["taints"].([]any)
	for _, t := range all {
		keys = append(keys, t.(Object)["key"].(string))
	}
	return keys
}

// Join makes a node with taints. It ends an earlier life of that name.
func (s *Server) Join(name string, keys ...string) {
	var taints []any
	for _, key := range keys {
		taints = append(taints, Taint(key))
	}
	s.Change("nodes/"+name, func(Object) Object { return nil })
	s.Change("nodes/"+name, func(Object) Object { return Object{"spec": Object{"taints": taints}} })
}

// Pod makes the pod of Berth's DaemonSet on a node, with the label app=berth, not ready.
func (s *Server) Pod(node, name string) {
	s.Change(PodPath(name), func(Object) Object {
		return Object{
			"metadata": Object{
				"namespace": namespace, "labels": Object{"app": "berth"},
				"ownerReferences": []any{Object{"kind": "DaemonSet", "controller": true}},
			},
			"spec":   Object{"nodeName": node},
			"status": Object{"phase": "Pending"},
		}
	})
}

// Report writes the status of a pod as its kubelet does.
func (s *Server) Report(name string, ready bool) {
	s.Change(PodPath(name), func(o Object) Object {
		if o == nil {
			return nil
		}
		status := "False"
		if ready {
			status = "True"
		}
		o["status"] = Object{"phase": "Running", "conditions": []any{Object{"type": "Ready", "status": status}}}
		Metadata(o)["managedFields"] = []any{Object{
			"manager": "kubelet", "subresource": "status", "time": time.Now().UTC().Format(time.RFC3339),
		}}
		return o
	})
}
