package reconcile

import (
	"path"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/desired"
)

// addCrashNotices adds a notice to plan for each foreign file that makes containerd 1.6 and 1.7 crash
// at a pull. Berth leaves the file alone, and its own files beside it do not prevent the crash.
func (n *Node) addCrashNotices(cfg *config.Config, plan *Plan) error {
	certsDir, err := n.Root.Resolve(cfg.Containerd.CertsDir)
	if err != nil {
		return err
	}
	for _, name := range hostsconf.Crashing(certsDir, plan.Changes, plan.current) {
		plan.Notices = append(plan.Notices, desired.Notice{
			Subject: path.Join(cfg.Containerd.CertsDir, name, "hosts.toml"),
			Message: "containerd 1.6 and 1.7 crash at a pull from " + hostsconf.UpstreamOf(name) +
				"; remove the keys between [host] and the next table",
		})
	}
	return nil
}
