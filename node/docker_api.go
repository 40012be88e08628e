package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dockerTimeout is how long the API of Docker may take for both answers. It works in milliseconds,
// unless dockerd is starting or busy.
const dockerTimeout = 2 * time.Second

// dockerInfo is what the answers of GET /version and GET /info hold that is used here. Source:
// https://docs.docker.com/reference/api/engine/
type dockerInfo struct {
	Version         string
	APIVersion      string `json:"ApiVersion"`
	Components      []struct{ Name string }
	DriverStatus    [][2]string
	Running         int  `json:"ContainersRunning"`
	LiveRestore     bool `json:"LiveRestoreEnabled"`
	SecurityOptions []string
	RegistryConfig  struct {
		Mirrors               []string
		InsecureRegistryCIDRs []string
		IndexConfigs          map[string]struct{ Secure bool }
	}
}

// askAPI asks the running daemon, which may have other settings than its files.
func (d *Docker) askAPI(ctx context.Context, m Machine) {
	if _, d.NoAPI = m.Root.Lstat(d.Socket); d.NoAPI != nil {
		return
	}
	var info dockerInfo
	if d.NoAPI = askDocker(ctx, m.Root.Path(d.Socket), &info); d.NoAPI != nil {
		return
	}
	if len(info.Components) > 0 && info.Components[0].Name == "Podman Engine" {
		d.NoAPI = fmt.Errorf("%s: Podman answers there, not Docker", d.Socket)
		return
	}
	d.setVersion(info.Version)
	if _, minor, ok := strings.Cut(info.APIVersion, "."); ok {
		if n, err := strconv.Atoi(minor); err == nil {
			d.hasLookup, d.tooOld = n >= dockerLookupAPI, n < dockerLookupAPI
		}
	}
	d.Containers, d.LiveRestore = info.Running, info.LiveRestore
	d.Store, d.StoreFrom = DockerGraphDriver, "docker info"
	if slices.Contains(info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"}) {
		d.Store = DockerContainerd
	}
	d.Rootless = d.Rootless || slices.Contains(info.SecurityOptions, "name=rootless")
	running := DockerSettings{Mirrors: info.RegistryConfig.Mirrors}
	for _, network := range info.RegistryConfig.InsecureRegistryCIDRs {
		if network != "127.0.0.0/8" && network != "::1/128" { // always there
			running.Insecure = append(running.Insecure, network)
		}
	}
	for name, index := range info.RegistryConfig.IndexConfigs {
		if !index.Secure {
			running.Insecure = append(running.Insecure, name)
		}
	}
	d.Running = &running
	d.Mirrors, d.Insecure = append(d.Mirrors, running.Mirrors...), append(d.Insecure, running.Insecure...)
}

// askDocker reads both documents from the API at socket. It sends nothing but two GET requests.
func askDocker(ctx context.Context, socket string, info *dockerInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dockerTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	for _, path := range []string{"/version", "/info"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err
			}
			return fmt.Errorf("%s: %w", socket, err)
		}
		err = json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(info)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || err != nil {
			return fmt.Errorf("%s: GET %s: status %d, or no JSON", socket, path, resp.StatusCode)
		}
	}
	return nil
}
