package containerd

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

type table = map[string]any

// config returns the config.toml for a daemon that keeps everything below dir.
func config(version, dir string, o Options) ([]byte, error) {
	c := table{
		"root":  filepath.Join(dir, "lib"),
		"state": filepath.Join(dir, "state"),
		"grpc":  table{"address": socket(dir)},
		// It uses nothing of the machine's own containerd: not its shared directory, its CNI
		// networks or its plugins.
		"plugins": table{
			"io.containerd.internal.v1.opt": table{"path": filepath.Join(dir, "opt")},
		},
	}
	plugins := c["plugins"].(table)
	runc := table{"runtime_type": "io.containerd.runc.v2", "options": table{"BinaryName": o.Runc}}
	switch major, _, _ := strings.Cut(version, "."); major {
	case "1":
		c["version"] = int64(2)
		plugins["io.containerd.grpc.v1.cri"] = table{
			"sandbox_image": o.SandboxImage,
			// Without CAP_SYS_RESOURCE runc cannot lower oom_score_adj.
			"restrict_oom_score_adj": true,
			"disable_apparmor":       true,
			"registry":               table{"config_path": o.CertsDir},
			"containerd":             table{"runtimes": table{"runc": runc}},
			"cni":                    table{"bin_dir": filepath.Join(dir, "cni"), "conf_dir": filepath.Join(dir, "cni")},
		}
	case "2":
		c["version"] = int64(3)
		plugins["io.containerd.cri.v1.images"] = table{
			"pinned_images":        table{"sandbox": o.SandboxImage},
			"registry":             table{"config_path": o.CertsDir},
			"use_local_image_pull": o.LocalPull,
		}
		plugins["io.containerd.cri.v1.runtime"] = table{
			"restrict_oom_score_adj": true,
			"disable_apparmor":       true,
			"containerd":             table{"runtimes": table{"runc": runc}},
			"cni":                    table{"bin_dirs": []string{filepath.Join(dir, "cni")}, "conf_dir": filepath.Join(dir, "cni")},
		}
		plugins["io.containerd.nri.v1.nri"] = table{"disable": true}
	default:
		return nil, fmt.Errorf("containerd %s: the harness knows 1 and 2", version)
	}
	return toml.Marshal(c)
}

// socket returns the daemon's address.
func socket(dir string) string { return filepath.Join(dir, "containerd.sock") }
