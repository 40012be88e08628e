package node

// Absent reports whether the node shows no sign of containerd: no process that can be seen, no
// service, no configuration and no program. [Discover] then describes what a containerd installed
// there would use.
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
