package node

// Absent reports whether the node has no trace of a containerd: no process, as far as processes
// can be seen, no service, no configuration and no program. The result of [Discover] is then
// about a containerd that does not exist.
func (c Containerd) Absent(h Host) bool {
	if c.PID != 0 || c.Unit != "" || c.Source != FromDefault || !c.Config.Missing {
		return false
	}
	for _, binary := range []string{"/usr/bin/containerd", "/usr/local/bin/containerd"} {
		if _, err := h.Root.Lstat(binary); err == nil {
			return false
		}
	}
	return true
}
