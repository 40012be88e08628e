package doctor

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/node"
)

// proxy compares the proxy of containerd with that of the agent's prober. If only containerd has
// one, every mirror behind it looks down to the prober; if only the prober has one, mirrors look up
// that containerd cannot reach.
func (e *examination) proxy() {
	const name = "proxy"
	if e.engine.PID == 0 {
		e.add(name, OK, "no running containerd to compare with", "")
		return
	}
	theirs, err := node.ProxyOf(e.Machine, e.engine.PID)
	if err != nil {
		e.add(name, Warn, err.Error(), "run this as root")
		return
	}
	ours, from := proxy.FromEnvironment(e.Getenv), "this environment"
	if e.Config != nil && e.Config.Proxy != (config.Proxy{}) {
		ours = e.Config.Proxy.Settings()
		from = "the config"
	}
	var differ []string
	for _, v := range []struct {
		name         string
		ours, theirs string
	}{
		{"http", ours.HTTP.Reveal(), theirs.HTTP.Reveal()},
		{"https", ours.HTTPS.Reveal(), theirs.HTTPS.Reveal()},
		{"no", list(ours.No), list(theirs.No)},
	} {
		if strings.TrimRight(v.ours, "/") != strings.TrimRight(v.theirs, "/") {
			differ = append(differ, v.name)
		}
	}
	switch none := ours == (proxy.Settings{}) && theirs == (proxy.Settings{}); {
	case none:
		e.add(name, OK, "neither containerd nor Berth uses a proxy", "")
	case len(differ) == 0:
		e.add(name, OK, "containerd and Berth use the same proxy", "")
	default:
		e.add(name, Warn, "containerd's environment and "+from+" differ in the proxy for "+strings.Join(differ, ", ")+", so what Berth probes is not what containerd asks",
			"write under proxy: in the config what containerd has in its environment (httpProxy, httpsProxy, noProxy)")
	}
}

// list returns a no_proxy without the spaces between its names.
func list(s string) string {
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
	return strings.Join(fields, ",")
}

// selinux reports whether SELinux is enforcing.
func (e *examination) selinux() {
	const name = "selinux"
	raw, err := []byte(nil), error(nil)
	if e.Sys != "" {
		raw, err = os.ReadFile(filepath.Join(e.Sys, "fs", "selinux", "enforce"))
	}
	switch {
	case e.Sys == "" || isNotExist(err):
		e.add(name, OK, "not in use", "")
	case err != nil:
		e.add(name, Warn, err.Error(), "run this as root")
	case strings.TrimSpace(string(raw)) == "1":
		e.add(name, OK, "enforcing: Berth may write below /etc/containerd as a service of the host, but not in a confined container",
			"for the chart, set seLinuxOptions to a type that may write there, such as spc_t")
	default:
		e.add(name, OK, "permissive", "")
	}
}
