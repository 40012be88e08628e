package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

// Docker is the Docker Engine of a node, as far as it concerns hosts.toml files. Its settings are
// described at https://docs.docker.com/reference/cli/dockerd/ and in moby's daemon/hosts.go.
type Docker struct {
	// PID is that of dockerd, 0 if none is seen. Unit is the systemd unit that runs it, or would;
	// "" if it is not known.
	PID  int
	Unit string
	// Binary is the program, "" if it is not known.
	Binary string
	// Version is its release, such as "29.7.2"; "" if it is not known.
	Version string
	// ConfigPath is its daemon.json, which may be missing. ConfigError says why it cannot be used:
	// dockerd does not start with it.
	ConfigPath  string
	ConfigError error
	// Socket is the path of its API on the node. NoAPI says why the API did not answer, nil if it
	// did.
	Socket string
	NoAPI  error
	// Store is its image store, and StoreFrom says where that is known from, or why it is not.
	Store     DockerStore
	StoreFrom string
	// Mirrors are its registry-mirrors, and Insecure its insecure-registries: those of daemon.json,
	// of the flags and of the running daemon together.
	Mirrors, Insecure []string
	// Unsettled says why the running daemon may have others; "" if they are known.
	Unsettled string
	// Running are the settings of the running daemon alone; nil if its API did not answer.
	Running *DockerSettings
	// Proxy is the proxy of daemon.json and the flags; what they leave out comes from the environment
	// of dockerd, see [ProxyOf].
	Proxy proxy.Settings
	// Pinned names the setting that keeps it from the containerd image store, "" for none.
	Pinned string
	// Containers is how many containers run, and LiveRestore is true if they outlive a restart of
	// dockerd; both are known only if the API answered.
	Containers  int
	LiveRestore bool
	// Rootless is true if it runs without root, and so cannot read files of root.
	Rootless bool

	hasLookup bool // its release is known to read hosts.toml files
	tooOld    bool // its release is known not to
}

// DockerSettings are registry-mirrors and insecure-registries of a Docker Engine.
type DockerSettings struct{ Mirrors, Insecure []string }

// DockerStore is where a Docker Engine keeps images.
type DockerStore string

// The stores.
const (
	DockerContainerd  DockerStore = "containerd"   // the containerd image store
	DockerGraphDriver DockerStore = "graph driver" // the store of earlier releases: no hosts.toml
	DockerUnknown     DockerStore = ""
)

// Docker 28.0.0 is the first release with the look-up (moby#47380). Its API is version 1.48.
const (
	dockerLookupMajor = 28
	dockerLookupAPI   = 48
	// dockerDefaultMajor is the first release that uses the containerd image store by default.
	dockerDefaultMajor = 29
)

// dockerConfig are the settings of daemon.json that concern pulls.
type dockerConfig struct {
	Mirrors       []string        `json:"registry-mirrors"`
	Insecure      []string        `json:"insecure-registries"`
	Features      map[string]bool `json:"features"`
	Hosts         []string        `json:"hosts"`
	DataRoot      string          `json:"data-root"`
	StorageDriver string          `json:"storage-driver"`
	UsernsRemap   string          `json:"userns-remap"`
	Proxies       struct {
		HTTP  string `json:"http-proxy"`
		HTTPS string `json:"https-proxy"`
		No    string `json:"no-proxy"`
	} `json:"proxies"`
}

// graphDrivers are the storage drivers of the store of earlier releases (moby's
// daemon/graphdriver).
var graphDrivers = [...]string{"overlay2", "fuse-overlayfs", "btrfs", "zfs", "vfs"}

// DiscoverDocker finds the Docker Engine of a node and asks its API, if that can be reached. It
// changes nothing. found is false if the node has no trace of one.
func DiscoverDocker(ctx context.Context, m Machine) (d Docker, found bool, err error) {
	processes, err := m.processes("dockerd")
	if err != nil {
		return d, false, err
	}
	p := process{args: []string{"dockerd"}, dir: "/"}
	unit, unitErr := readUnit(m.Root, "docker.service")
	switch {
	case len(processes) > 0:
		p = processes[0]
		d.PID, d.Unit, d.Binary = p.pid, p.unit, p.binary
	case unitErr == nil:
		d.Unit = "docker.service"
		if args := unit.command("dockerd"); len(args) > 0 {
			p.args = args
		}
	}
	if d.Binary == "" {
		d.Binary = dockerBinary(m, p.args[0])
	}
	d.ConfigPath = cmp.Or(p.path(p.option("config-file")), "/etc/docker/daemon.json")
	config, missing := d.readConfig(m)
	d.Mirrors = slices.Concat(config.Mirrors, p.options("registry-mirror"))
	d.Insecure = slices.Concat(config.Insecure, p.options("insecure-registry"))
	d.Rootless = slices.Contains(p.args, "--rootless")
	d.Pinned = pinned(p, config)
	d.Proxy = proxy.Settings{
		HTTP:  redact.New(cmp.Or(p.option("http-proxy"), config.Proxies.HTTP)),
		HTTPS: redact.New(cmp.Or(p.option("https-proxy"), config.Proxies.HTTPS)),
		No:    cmp.Or(p.option("no-proxy"), config.Proxies.No),
	}
	d.Socket = dockerSocket(append(p.options("host", "H"), config.Hosts...))
	d.askAPI(ctx, m)
	if d.Version == "" {
		d.findVersion(ctx, m)
	}
	if d.NoAPI != nil {
		d.settingsWithoutAPI(m)
		d.storeWithoutAPI(m, p, config)
	}
	if d.PID == 0 && d.Unit == "" && d.Binary == "" && missing && d.NoAPI != nil {
		return d, false, nil
	}
	d.Mirrors, d.Insecure = withoutLogins(d.Mirrors), withoutLogins(d.Insecure)
	return d, true, nil
}

// withoutLogins returns addresses, sorted, each once, and without a login or a query. dockerd refuses
// an address that has one, but the file may still hold it, and plan and doctor show these addresses.
func withoutLogins(addresses []string) []string {
	bare := make([]string, len(addresses))
	for i, address := range addresses {
		scheme, rest, ok := strings.Cut(address, "://")
		if !ok {
			scheme, rest = "", address
		} else {
			scheme += "://"
		}
		rest = rest[strings.LastIndexByte(rest, '@')+1:]
		rest, _, _ = strings.Cut(rest, "?")
		bare[i] = scheme + rest
	}
	slices.Sort(bare)
	return slices.Compact(bare)
}

// pinned names the setting with which dockerd cannot use the containerd image store, or does not
// start with the feature in daemon.json.
func pinned(p process, config dockerConfig) string {
	switch driver := cmp.Or(p.option("storage-driver", "s"), config.StorageDriver); {
	case len(p.options("feature")) > 0:
		return "the flag --feature of dockerd"
	case cmp.Or(p.option("userns-remap"), config.UsernsRemap) != "":
		return "userns-remap"
	case driver != "":
		return "storage-driver (" + driver + ")"
	}
	return ""
}

// readConfig reads daemon.json. missing is true if there is none.
func (d *Docker) readConfig(m Machine) (config dockerConfig, missing bool) {
	content, err := m.Root.ReadFileUpTo(d.ConfigPath, 1<<20)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return config, true
	case err != nil:
		d.ConfigError = err
	case len(content) > 0:
		// The error of encoding/json may quote a value, which may be a login of a proxy.
		if json.Unmarshal(content, &config) != nil {
			d.ConfigError = fmt.Errorf("%s: is not the JSON that dockerd reads; run dockerd --validate", d.ConfigPath)
			config = dockerConfig{}
		}
	}
	return config, false
}

// dockerSocket returns the path of the first Unix socket in the hosts of dockerd.
func dockerSocket(hosts []string) string {
	for _, host := range hosts {
		if socket, ok := strings.CutPrefix(host, "unix://"); ok && path.IsAbs(socket) {
			return socket
		}
	}
	return "/run/docker.sock" // also that of docker.socket, which fd:// stands for
}

// dockerBinary returns the path of dockerd, "" if it is not found.
func dockerBinary(m Machine, argument string) string {
	for _, name := range []string{argument, "/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"} {
		if !path.IsAbs(name) {
			continue
		}
		if _, err := m.Root.Lstat(name); err == nil {
			return name
		}
	}
	return ""
}

// findVersion runs dockerd --version.
func (d *Docker) findVersion(ctx context.Context, m Machine) {
	if m.Version == nil || d.Binary == "" && d.PID == 0 {
		return
	}
	binary := m.Root.Path(d.Binary)
	if d.PID != 0 {
		binary = filepath.Join(m.Proc, strconv.Itoa(d.PID), "exe")
	}
	output, err := m.Version(ctx, binary)
	if err != nil && d.PID != 0 && d.Binary != "" {
		output, err = m.Version(ctx, m.Root.Path(d.Binary))
	}
	if rest, ok := strings.CutPrefix(output, "Docker version "); err == nil && ok {
		d.setVersion(strings.TrimSpace(strings.SplitN(rest, ",", 2)[0]))
	}
}

// setVersion sets the version, and what it says about hosts.toml files.
func (d *Docker) setVersion(version string) {
	d.Version = version
	if major := dockerMajor(version); major > 0 {
		d.hasLookup, d.tooOld = major >= dockerLookupMajor, major < dockerLookupMajor
	}
}

// dockerMajor returns the first number of a version. It is 0 for a build from source, which has a
// name or the number of moby's module: Docker's numbers begin with 17.03.
func dockerMajor(version string) int {
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if err != nil || major < 17 {
		return 0
	}
	return major
}

// settingsWithoutAPI says why the settings of the running daemon are not known for sure.
func (d *Docker) settingsWithoutAPI(m Machine) {
	switch changed := changedSince(m, d.PID, []string{d.ConfigPath}); {
	case m.Proc == "":
		d.Unsettled = fmt.Sprintf("neither the flags of dockerd nor its API (%s) can be seen from here; mount its socket (docker.socket of the chart)", d.Socket)
	case len(changed) > 0:
		d.Unsettled = fmt.Sprintf("%s was changed after dockerd was started, and its API does not answer (%s); restart Docker, or let berth reach that socket",
			d.ConfigPath, d.Socket)
	case d.ConfigError != nil:
		d.Unsettled = d.ConfigError.Error()
	}
}

// storeWithoutAPI finds the image store from the files of the node, as dockerd chooses it when it
// starts (moby's daemon/image_store_choice.go).
func (d *Docker) storeWithoutAPI(m Machine, p process, config dockerConfig) {
	feature, given := config.Features["containerd-snapshotter"]
	for _, f := range p.options("feature") {
		if name, value, ok := strings.Cut(f, "="); ok && name == "containerd-snapshotter" {
			if on, err := strconv.ParseBool(value); err == nil {
				feature, given = on, true
			}
		}
	}
	driver := cmp.Or(p.option("storage-driver", "s"), config.StorageDriver)
	remap := cmp.Or(p.option("userns-remap"), config.UsernsRemap)
	root := cmp.Or(p.path(p.option("data-root", "g")), config.DataRoot, "/var/lib/docker")
	switch major := dockerMajor(d.Version); {
	case d.ConfigError != nil || len(changedSince(m, d.PID, []string{d.ConfigPath})) > 0:
		d.StoreFrom = d.Unsettled
	case given && feature:
		d.Store, d.StoreFrom = DockerContainerd, "features.containerd-snapshotter is true"
	case given:
		d.Store, d.StoreFrom = DockerGraphDriver, "features.containerd-snapshotter is false"
	case remap != "":
		d.Store, d.StoreFrom = DockerGraphDriver, "userns-remap is set"
	case slices.Contains(graphDrivers[:], driver):
		d.Store, d.StoreFrom = DockerGraphDriver, "storage-driver is "+driver
	case d.Version == "" || major == 0:
		d.StoreFrom = "neither the API of Docker nor its release can be seen from here"
	case major < dockerDefaultMajor:
		d.Store, d.StoreFrom = DockerGraphDriver, "the default of Docker "+d.Version
	default:
		d.Store, d.StoreFrom = DockerContainerd, "the default of Docker "+d.Version
		for _, driver := range graphDrivers {
			used := path.Join(root, driver)
			if driver != "vfs" && len(List(m.Root, path.Join(used, "*"))) > 0 {
				d.Store, d.StoreFrom = DockerGraphDriver, used+" holds images of it"
			}
		}
	}
}

// ReadsWithContainerdStore reports whether its release is known to read hosts.toml files with the
// containerd image store.
func (d Docker) ReadsWithContainerdStore() bool { return d.hasLookup }

// Remedy says what makes this Docker read hosts.toml files.
func (d Docker) Remedy() string {
	if d.tooOld {
		return "upgrade Docker to 28 or later, with the containerd image store"
	}
	return "berth install --docker; images of the present store are not seen by the new one"
}

// Reads reports whether this Docker reads hosts.toml files, and why not, or why that is unknown.
func (d Docker) Reads() (Reading, string) {
	switch {
	case d.tooOld:
		return DoesNot, "Docker " + d.Version + " reads no hosts.toml; 28.0 and later do, with the containerd image store"
	case d.Store == DockerGraphDriver:
		return DoesNot, "its image store is that of earlier releases (" + d.StoreFrom + "), which reads no hosts.toml"
	case d.Store == DockerUnknown:
		return CannotTell, "its image store is not known: " + d.StoreFrom
	case !d.hasLookup:
		return CannotTell, "its release is not known; 28.0 and later read hosts.toml"
	}
	return Reads, ""
}
