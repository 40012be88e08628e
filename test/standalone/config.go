package standalone

import (
	"bytes"
	"fmt"
	"path/filepath"
)

// config returns the KubeletConfiguration.
func (k *Kubelet) config(o Options) []byte {
	config := Config(k.dir, o.Socket)
	if o.EvictionHard != "" {
		config = bytes.Replace(config, []byte(withoutDisks), []byte("evictionHard: "+o.EvictionHard), 1)
	}
	return append(config, fmt.Appendf(nil, "staticPodPath: %q\nfileCheckFrequency: 1s\n%s", k.pods(), o.More)...)
}

// withoutDisks keeps kubelet from looking at the machine's disks.
const withoutDisks = `localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi}`

// Config returns a KubeletConfiguration for a kubelet that keeps its files in dir and has its
// container runtime at socket. It opens no port and sets no packet filter rule. It needs nothing
// that a container lacks: no cgroup for each class of pods, no disk limits, no right to lower
// oom_score_adj. More fields can be appended.
func Config(dir, socket string) []byte {
	return fmt.Appendf(nil, `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
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
%s
resolvConf: ""
`, filepath.Join(dir, "podlogs"), filepath.Join(dir, "volume-plugins"), "unix://"+socket, withoutDisks)
}
