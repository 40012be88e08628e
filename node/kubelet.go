package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
)

// Kubelet is the kubelet that runs on a node.
type Kubelet struct {
	PID  int
	Unit string // the systemd unit that runs it, "" if it is not known
	// ProviderConfig and ProviderDir are the values of the flags
	// --image-credential-provider-config, a file or since 1.34 a directory, and
	// --image-credential-provider-bin-dir, "" if a flag is missing.
	ProviderConfig, ProviderDir string
}

// FindKubelet finds a kubelet among the node's processes. found is false if none runs, if the
// processes cannot be seen, or if kubelet is a part of another program, as in k3s. Its command
// line may hold secrets; only the fields of Kubelet are kept.
func FindKubelet(m Machine) (k Kubelet, found bool, err error) {
	all, err := m.processes("kubelet")
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

// Minor returns the minor release of the running kubelet, 34 for 1.34.2. ok is false if it is not
// known.
func (k Kubelet) Minor(ctx context.Context, m Machine) (minor int, ok bool) {
	if m.Version == nil || k.PID == 0 {
		return 0, false
	}
	output, err := m.Version(ctx, filepath.Join(m.Proc, strconv.Itoa(k.PID), "exe"))
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscanf(output, "Kubernetes v1.%d.", &minor)
	return minor, err == nil
}
