package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// finish checks the conditions that hold after every scenario.
func (s *fixture) finish() {
	s.Helper()
	for _, p := range s.problems() {
		s.Error(p)
	}
}

// problems returns requests that must not have been made: to decoys that the scenario did not name,
// with logins of other hosts, to unknown hosts.
func (s *fixture) problems() []string {
	var found []string
	for _, host := range slices.Sorted(maps.Keys(s.decoys)) {
		d := s.decoys[host]
		if requests := d.Requests(); !s.claimed[d] && len(requests) > 0 {
			found = append(found, fmt.Sprintf("%s was asked, and must not be:\n%s", host, indent(strings.Join(upstream.Lines(requests), "\n"))))
		}
		for _, r := range d.Requests() {
			for _, secret := range s.secrets {
				if secret.at != d && slices.Contains(r.Header.Values("Authorization"), "Basic "+secret.basic) {
					found = append(found, fmt.Sprintf("%s received a login that is not for it, with %s", host, r))
				}
			}
		}
	}
	for _, refused := range s.proxy.Refused() {
		found = append(found, "containerd wanted to leave the machine: "+refused)
	}
	return found
}

// secretsAreKept checks that only root can read a file with a login.
func (s *fixture) secretsAreKept() {
	s.Helper()
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		for _, secret := range s.secrets {
			if bytes.Contains(content, []byte(secret.basic)) && info.Mode().Perm() != 0o600 {
				s.Errorf("%s has a login in it and mode %s", path, info.Mode())
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
}

// asked checks that the decoy received exactly these requests, in any order.
func (s *fixture) asked(d *upstream.Decoy, want ...string) {
	s.Helper()
	s.claimed[d] = true
	want = slices.Sorted(slices.Values(want))
	if got := upstream.Lines(d.Requests()); !slices.Equal(got, want) {
		s.Errorf("decoy was asked\n%s\nwant\n%s", indent(strings.Join(got, "\n")), indent(strings.Join(want, "\n")))
	}
}

// served checks that the registry answered containerd exactly these requests, in any order; each
// line ends in the status. Without lines, it must not have been asked.
func (s *fixture) served(r *registry.Registry, want ...string) {
	s.Helper()
	want = slices.Sorted(slices.Values(want))
	var got []string
	// The line of a large answer can be late; a line too many is reported at once.
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		requests, err := r.Served(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		got = got[:0]
		for _, request := range requests {
			got = append(got, request.String())
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
	}
	s.Errorf("registry answered\n%s\nwant\n%s", indent(strings.Join(got, "\n")), indent(strings.Join(want, "\n")))
}
