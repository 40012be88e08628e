package standalone

import (
	"fmt"
	"path/filepath"
)

// config is the KubeletConfiguration. It opens no port, sets no rule of the
// packet filter, and asks for nothing that a container lacks: a cgroup for each
// class of pods, limits of the disk, the right to lower oom_score_adj.
func (k *Kubelet) config(o Options) []byte {
	return fmt.Appendf(nil, `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: %q
fileCheckFrequency: 1s
podLogsDir: %q
volumePluginDir: %q
containerRuntimeEndpoint: %q
enableServer: false
readOnlyPort: 0
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
makeIPTablesUtilChains: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi}
resolvConf: ""
`,
		k.pods(),
		filepath.Join(k.dir, "podlogs"),
		filepath.Join(k.dir, "volume-plugins"),
		"unix://"+o.Socket)
}
