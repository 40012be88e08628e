package node

// Kubelet is the kubelet that runs on a node.
type Kubelet struct {
	PID  int
	Unit string // the systemd unit that runs it, "" if it is not known
	// ProviderConfig and ProviderDir are the flags --image-credential-provider-config (a file,
	// since 1.34 also a directory) and --image-credential-provider-bin-dir; "" if a flag is
	// missing.
	ProviderConfig, ProviderDir string
}

// FindKubelet looks for a kubelet among the node's processes. found is false if none runs, if the
// processes cannot be seen, or if kubelet is part of another program, as in k3s. Its command line
// may hold secrets, so only the fields of Kubelet are kept.
func FindKubelet(h Host) (k Kubelet, found bool, err error) {
	all, err := h.processes("kubelet")
	if err != nil || len(all) == 0 {
		return Kubelet{}, false, err
	}
	return all[0].kubelet(), true, nil
}

func (p process) kubelet() Kubelet {
	return Kubelet{
		PID: p.pid, Unit: p.unit,
		ProviderConfig: p.path(p.option("image-credential-provider-config")),
		ProviderDir:    p.path(p.option("image-credential-provider-bin-dir")),
	}
}
