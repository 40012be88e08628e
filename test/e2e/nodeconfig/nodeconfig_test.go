package nodeconfig

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/isolate"
)

// pair is the default of config_path.
const pair = "/etc/containerd/certs.d:/etc/docker/certs.d"

const corpus = "../../../node/testdata/config"

// TestCorpus runs every shape of the corpus, as it is and as Berth changes it, with real daemons. It compares with the golden files: whether containerd starts, whether its
// CRI does, the config_path of "config dump" and of the CRI itself, and whether a pull asks the
// mirror that a hosts.toml file names.
func TestCorpus(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: run make e2e as root")
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range set.Containerd {
		trials, err := readCorpus(corpus, program.Version)
		if err != nil {
			t.Fatal(err)
		}
		if len(trials) < 70 {
			t.Fatalf("containerd %s: %d trials", program.Version, len(trials))
		}
		t.Run(program.Version, func(t *testing.T) {
			t.Parallel()
			for _, trial := range trials {
				t.Run(trial.name, func(t *testing.T) {
					if wrong := check(t, program, trial); wrong != "" {
						t.Error(wrong)
					}
				})
			}
		})
	}
}

// TestControl: a golden file that states the opposite is found.
func TestControl(t *testing.T) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range set.Containerd {
		trials, err := readCorpus(corpus, program.Version)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, trial := range trials {
			switch _, name, _ := strings.Cut(trial.name, "-"); name { // without its number
			case "debian-12/before", "two-directories-local-pull/before":
				trial.want = verdict{honoured: true, certsDir: "/etc/containerd/elsewhere"}
			case "debian-12/wire":
				trial.want = verdict{traps: []string{"config-path-unset"}}
			case "mirrors-beside-config-path/without-mirrors":
				trial.want = verdict{traps: []string{"mirrors"}}
			case "mirrors-beside-config-path/before":
				trial.want = verdict{honoured: true, certsDir: "/etc/containerd/certs.d"}
			case "broken/before":
				trial.want = verdict{traps: []string{"config-path-unset"}}
			default:
				continue
			}
			found++
			if check(t, program, trial) == "" {
				t.Errorf("containerd %s: %s: a wrong verdict was not found out", program.Version, trial.name)
			}
		}
		if found < 6 {
			t.Errorf("containerd %s: %d of the trials are there", program.Version, found)
		}
	}
}

// TestPorts: it makes no difference if the machine uses the ports that shapes name.
func TestPorts(t *testing.T) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ports := []string{"1338", "10010", "10257"}
	err = isolate.Network(interfaces, func() error { // in place of the machine's own namespace
		for _, port := range ports {
			l, err := net.Listen("tcp", "0.0.0.0:"+port)
			if err != nil {
				return err
			}
			defer l.Close()
		}
		for _, program := range set.Containerd {
			trials, err := readCorpus(corpus, program.Version)
			if err != nil {
				return err
			}
			for _, port := range ports {
				i := slices.IndexFunc(trials, func(t trial) bool {
					return t.want.honoured && bytes.Contains(t.files[t.main], []byte(port))
				})
				if i < 0 {
					return fmt.Errorf("containerd %s: no shape that works names port %s", program.Version, port)
				}
				if wrong := check(t, program, trials[i]); wrong != "" {
					t.Errorf("containerd %s: %s: %s", program.Version, trials[i].name, wrong)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// check runs a trial and returns how it differs from its verdict.
func check(t *testing.T, program parts.Containerd, trial trial) string {
	t.Helper()
	var asked atomic.Int32
	mirror := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.NotFound(w, nil)
	})
	n, err := start(program, trial, mirror)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := n.wait(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, n.log())
	}
	if want := trial.want.state(program.Version); got != want {
		return string(got) + ", and not: " + string(want) + "\n" + n.log()
	}
	if got != ready {
		return ""
	}
	dumped, err := n.dump()
	if err != nil {
		t.Fatal(err)
	}
	said, dumps := pathIn(dumped)
	if strings.HasPrefix(program.Version, "1.") {
		// The CRI of 2.x does not report it.
		running, err := n.configPath(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if dumps && said != running {
			return "config dump gives " + said + ", and the CRI runs with " + running
		}
		said = running
	} else if !dumps {
		return "there is no config dump"
	} else if said == "" && trial.want.localPull {
		said = pair // 2.x replaces it when it starts
	}
	first, _, _ := strings.Cut(said, ":")
	if trial.want.honoured && filepath.Clean(first) != trial.want.certsDir {
		return "it runs with config_path " + said + ", and not " + trial.want.certsDir
	}
	n.pull(ctx)
	if honoured := asked.Load() > 0; honoured != trial.want.honoured {
		return map[bool]string{true: "the mirror was asked", false: "the mirror was not asked"}[honoured] + "\n" + n.log()
	}
	return ""
}

// state returns the state of the daemon that a verdict means.
func (v verdict) state(version string) state {
	for _, trap := range v.traps {
		switch trap {
		case "unreadable", "import-missing", "import-version", "config-path-type":
			return ended
		case "version":
			if strings.HasPrefix(version, "1.6.") {
				return ready // it starts, and does not find the tables
			}
			return ended
		case "cri-disabled", "configs-tls", "default-runtime", "mirrors-beside-config-path":
			return noCRI
		}
	}
	return ready
}

// pathIn returns config_path in a dump.
func pathIn(dump string) (string, bool) {
	var config struct {
		Plugins map[string]struct {
			Registry struct {
				ConfigPath string `toml:"config_path"`
			} `toml:"registry"`
		} `toml:"plugins"`
	}
	if dump == "" || toml.Unmarshal([]byte(dump), &config) != nil {
		return "", false
	}
	for _, table := range []string{"io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"} {
		if p, ok := config.Plugins[table]; ok {
			return p.Registry.ConfigPath, true
		}
	}
	return "", false
}
