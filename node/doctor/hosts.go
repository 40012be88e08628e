package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/berth-registry/berth/hostsconf"
)

// hosts reads every directory of certs.d as containerd does.
func (e *examination) hosts() {
	const name = "hosts"
	e.certsDir = cmp.Or(e.certsDir, defaultDir)
	dir, err := e.Machine.Root.Resolve(e.certsDir)
	if err != nil {
		e.add(name, Fail, fmt.Sprintf("%s: %v", e.certsDir, err), "make it a directory")
		return
	}
	entries, err := os.ReadDir(dir)
	if isNotExist(err) {
		e.add(name, Warn, e.certsDir+" is missing, so no mirror is in use", `run "berth apply", or start the agent`)
		return
	}
	if err != nil {
		e.add(name, Fail, err.Error(), "run this as root")
		return
	}
	good, bad := 0, 0
	for _, entry := range entries {
		upstream := hostsconf.UpstreamOf(entry.Name())
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if upstream == "" || err != nil || !info.IsDir() {
			continue
		}
		if e.readable(dir, entry.Name(), upstream) {
			good++
		} else {
			bad++
		}
	}
	switch {
	case bad > 0:
	case e.notRead:
		e.add(name, Warn, fmt.Sprintf("no directory below %s is in use (%d), because containerd does not read it", e.certsDir, good), "see config-path above")
	default:
		e.add(name, OK, fmt.Sprintf("containerd reads every directory below %s (%d)", e.certsDir, good), "")
	}
}

// readable reports whether containerd can use a directory.
func (e *examination) readable(dir, folder, upstream string) bool {
	const name = "hosts"
	where := path.Join(e.certsDir, folder)
	registry := upstream
	if upstream == hostsconf.Default {
		registry = "_default" // not the name of a registry, so only this directory is found
	}
	r, err := e.family().Lookup(dir, registry)
	if text := e.differences(dir, registry); text != "" && r.Dir == folder {
		e.add(name, Warn, fmt.Sprintf("%s: which release of containerd runs is not known, and hosts.toml is read differently: %s", where, text),
			"write the file so that every release reads it the same, as \"berth apply\" does")
		return false
	}
	switch {
	case errors.Is(err, hostsconf.ErrCrashes):
		e.add(name, Fail, fmt.Sprintf("%s: at each pull from %s, %v", where, upstream, hostsconf.ErrCrashes), "remove the keys between [host] and the next table from hosts.toml")
		return false
	case err != nil:
		e.add(name, Fail, fmt.Sprintf("%s: every pull from %s fails: %v", where, upstream, err), "create the file that it names, or remove the directory")
		return false
	case r.Dir != folder:
		e.add(name, Warn, fmt.Sprintf("%s is not read, because %s is read instead", where, path.Join(e.certsDir, r.Dir)), "remove one of the two")
		return false
	case r.Ignored != nil:
		e.add(name, Fail, fmt.Sprintf("%s: containerd ignores hosts.toml and asks %s itself: %v", where, upstream, r.Ignored), `see "berth plan"; a file that is not Berth's has to be fixed by hand`)
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, folder, "hosts.toml")); isNotExist(err) {
		detail := where + " has no hosts.toml"
		if slices.Contains(r.Shadowed, "_default") {
			e.add(name, Warn, detail+", and still keeps containerd from using _default for "+upstream, "remove the directory, or put a hosts.toml into it")
			return false
		}
	}
	e.secretFile(path.Join(where, "hosts.toml"), filepath.Join(dir, folder, "hosts.toml"), r)
	return true
}

// family is the way in which the running containerd reads files; that of the newest release if its
// release is unknown.
func (e *examination) family() hostsconf.Family {
	r := e.engine.Release
	if r.IsZero() {
		return hostsconf.Newest
	}
	return hostsconf.FamilyOf(r.Major, r.Minor, r.Patch)
}

// differences says what each release does, if the running release is unknown.
func (e *examination) differences(dir, registry string) string {
	if !e.engine.Release.IsZero() {
		return ""
	}
	return hostsconf.Differences(dir, registry)
}

// secretFile checks the mode of a file with a header, which may hold a login.
func (e *examination) secretFile(shown, file string, r hostsconf.Resolution) {
	secret := slices.ContainsFunc(r.Hosts, func(h hostsconf.ResolvedHost) bool { return slices.ContainsFunc(h.Headers, hostsconf.SecretHeader) })
	if info, err := os.Stat(file); secret && err == nil && info.Mode().Perm()&0o077 != 0 {
		e.add("permissions", Warn, fmt.Sprintf("%s holds a header that may be a secret, and has mode %04o", shown, info.Mode().Perm()), "chmod 600 "+shown)
	}
}
