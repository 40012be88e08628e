package node

// Absent reports whether no trace of a containerd is on the node: no process as
// far as they can be seen, no service, no configuration and no program. What
// [Discover] says is then what one would do that does not exist.
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
