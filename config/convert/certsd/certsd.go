// Package certsd reads a certs.d of hosts.toml files, as containerd does, and Docker's directory,
// which has a certs.d too, beside its daemon.json.
//
// Each directory has settings of its own for a host, and a RegistryConfig has one for each host:
// where they differ, the result says so. Start reading at [Directory] and [DockerDirectory].
package certsd

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/plainfile"
)

// berthDir holds the certificates that Berth writes.
const berthDir = "_berth"

// maxFile is the largest file of a directory that is read, in bytes.
const maxFile = 1 << 20

// reader is a draft with what is read from a certs.d and from Docker's daemon.json.
type reader struct {
	*draft.Draft
	uses hostUses // settings of hosts in hosts.toml files
}

// registryDirectory is one directory of a certs.d.
type registryDirectory struct {
	in       *source.Input // names the directory or its hosts.toml in messages
	upstream string
	path     string // below which the files that it names are
	hosts    []byte // content of hosts.toml, empty if there is none
	// ca and client are the certificates of Docker's layout.
	ca     []string
	client [][2]string
}

// HostsFile returns a function that reads one hosts.toml with the content data.
func HostsFile(name string, data []byte) func(*draft.Draft, source.Cursor) {
	return func(base *draft.Draft, _ source.Cursor) {
		d := &reader{Draft: base}
		dir, err := filepath.Abs(filepath.Dir(name))
		if name == "-" || name == "" || err != nil {
			d.In.FailAt(0, 0, "",
				"the name of a hosts.toml's directory says which registry it is for; "+
					"name the file: berth convert --from certs.d docker.io/hosts.toml")
			return
		}
		upstream, err := upstreamOf(filepath.Base(dir))
		switch {
		case err != nil:
			d.In.FailAt(0, 0, "", fmt.Sprintf("its directory %q %s; put the file into a "+
				"directory with the name of the registry, such as docker.io or registry.corp_5000_",
				source.OneLine(filepath.Base(dir)), err))
			return
		case hostsconf.WrittenByBerth(data):
			d.In.FailAt(0, 0, "", "was written by berth; the RegistryConfig that it was made "+
				"from has its settings already")
			return
		}
		r := registryDirectory{in: d.In, upstream: upstream, path: dir, hosts: data}
		d.addDirectories([]registryDirectory{r})
		d.placeUses()
	}
}

// upstreamOf returns the registry whose images use a directory of certs.d.
func upstreamOf(dir string) (string, error) {
	upstream := hostsconf.UpstreamOf(dir)
	if upstream == "" {
		return "", errors.New("is not the name of a registry")
	}
	name, err := hostsconf.ParseUpstream(upstream)
	if err == nil && name != upstream {
		err = errors.New("has upper case, which names of registries do not have")
	}
	if err != nil {
		return "", fmt.Errorf("is not the name of a registry: %w", err)
	}
	return name, nil
}

// Directory reads a certs.d, or the directory of one registry.
func Directory(base *draft.Draft, name string, tree fs.FS) {
	d := &reader{Draft: base}
	abs, err := filepath.Abs(name)
	if err != nil {
		d.In.FailAt(0, 0, "", err.Error())
		return
	}
	defer d.placeUses()
	if _, err := fs.Stat(tree, hostsconf.FileName); err != nil {
		d.addDirectories(d.readDirectories(tree, ".", abs))
		return
	}
	upstream, err := upstreamOf(filepath.Base(abs))
	if err != nil {
		d.In.FailAt(0, 0, "", fmt.Sprintf("has a hosts.toml, and its name %s; name the directory "+
			"that holds one directory for each registry", err))
		return
	}
	if r, ok := d.readDirectory(tree, ".", abs, upstream); ok {
		d.addDirectories([]registryDirectory{r})
	}
}

// readDirectories reads the directories below base in tree, which is at abs.
func (d *reader) readDirectories(tree fs.FS, base, abs string) []registryDirectory {
	entries, err := fs.ReadDir(tree, base)
	if err != nil {
		d.In.FailAt(0, 0, "", plainfile.WithoutPath(err).Error())
		return nil
	}
	var all []registryDirectory
	for _, entry := range entries {
		dir := path.Join(base, entry.Name())
		info, err := fs.Stat(tree, dir)
		if err == nil && !info.IsDir() || entry.Name() == berthDir {
			continue
		}
		at := source.Cursor{In: d.In.Below(dir)}
		if err != nil {
			d.Lose(at.Loss("cannot be read: "+plainfile.WithoutPath(err).Error(), "it is left out"))
			continue
		}
		upstream, err := upstreamOf(entry.Name())
		first := hostsconf.DirName(upstream)
		switch {
		case err != nil:
			d.Lose(at.Loss(err.Error(), d.Format.Program()+" never reads this directory, and it "+
				"has no effect here either"))
		case first != entry.Name() && contains(entries, first):
			d.Lose(at.Loss("containerd reads "+first+" instead, which is the same registry",
				"it has no effect here either"))
		default:
			if r, ok := d.readDirectory(tree, dir, filepath.Join(abs, entry.Name()), upstream); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

func contains(entries []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
}

// readDirectory reads the directory of one registry. ok is false if it is left out.
func (d *reader) readDirectory(
	tree fs.FS, dir, abs, upstream string,
) (r registryDirectory, ok bool) {
	r = registryDirectory{in: d.In.Below(dir), upstream: upstream, path: abs}
	entries, err := fs.ReadDir(tree, dir)
	if err != nil {
		d.Lose(source.Cursor{In: r.in}.Loss("cannot be read: "+plainfile.WithoutPath(err).Error(),
			"it is left out"))
		return r, false
	}
	for _, e := range entries {
		base, isClient := strings.CutSuffix(e.Name(), ".cert")
		switch {
		case e.IsDir():
		case strings.HasSuffix(e.Name(), ".crt"):
			r.ca = append(r.ca, filepath.Join(abs, e.Name()))
		case isClient:
			pair := [2]string{filepath.Join(abs, e.Name())}
			if contains(entries, base+".key") {
				pair[1] = filepath.Join(abs, base+".key")
			}
			r.client = append(r.client, pair)
		}
	}
	file := path.Join(dir, hostsconf.FileName)
	r.hosts, err = readRegular(tree, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, true
	case err != nil:
		d.Lose(source.Cursor{In: d.In.Below(file)}.Loss("cannot be read: "+err.Error(),
			"it is left out"))
		return r, false
	}
	r.in = d.In.Below(file)
	if hostsconf.WrittenByBerth(r.hosts) {
		d.Lose(source.Cursor{In: r.in}.Loss("was written by berth; the RegistryConfig that it "+
			"was made from has its settings already",
			"add this result to that RegistryConfig, and do not replace it"))
		return r, false
	}
	return r, true
}

// readRegular reads a regular file of at most maxFile bytes.
func readRegular(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	switch {
	case err != nil:
		return nil, plainfile.WithoutPath(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	content, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, plainfile.WithoutPath(err)
	}
	return content, nil
}

// addDirectories adds directories of a certs.d to the draft.
func (d *reader) addDirectories(all []registryDirectory) {
	if len(all) > 0 && d.Format == draft.CertsD {
		d.Note("These files are not Berth's: \"berth plan\" reports those in the way, and "+
			"containerd.onConflict: adopt takes them over and keeps the originals. "+
			"If containerd reads another directory than %s, write it as containerd.certsDir.",
			"/etc/containerd/certs.d")
	}
	for _, r := range all {
		if len(r.hosts) == 0 || !d.addHostsFile(r) {
			d.addCertificates(r)
		}
		if d.In != r.in {
			d.In.Errors = append(d.In.Errors, r.in.Errors...)
		}
		if d.Mirror(r.upstream) == nil {
			d.uses.direct = append(d.uses.direct, r)
		}
	}
}

// addCertificates adds the certificates of Docker's layout. containerd uses them only in a
// directory without a hosts.toml, for the registry itself.
func (d *reader) addCertificates(r registryDirectory) {
	at := source.Cursor{In: r.in}
	if d.Format == draft.Docker {
		r.client = slices.DeleteFunc(r.client, func(pair [2]string) bool {
			if pair[1] == "" {
				d.Lose(at.Loss("a client certificate (.cert) has no key of the same name (.key)",
					"Docker refused it too; this host is asked without it"))
			}
			return pair[1] == ""
		})
	}
	tls := d.tlsOf(at, r.ca, r.client)
	switch {
	case tls == (draft.TLS{}):
	case r.upstream == hostsconf.Default:
		d.Lose(at.Loss("certificates for every registry without a directory cannot be carried "+
			"over: Berth ties them to a host",
			"hosts without an entry of their own are asked without them; name each host under "+
				"registries"))
		return
	case hostport.IsLoopback(r.upstream):
		tls = d.unverified(r.upstream, tls)
	}
	d.uses.add(hostUse{at: at, host: r.upstream, upstream: r.upstream, tls: tls,
		byRule: hostport.IsLoopback(r.upstream)})
}

// unverified returns the tls settings of a registry on this machine that no server line names:
// containerd and Docker do not verify it.
func (d *reader) unverified(upstream string, t draft.TLS) draft.TLS {
	if t.CA != "" {
		d.Note("%s: containerd and Docker do not verify a registry on this machine, so its "+
			"certificate authority had no effect and is left out.", upstream)
	}
	return draft.TLS{Cert: t.Cert, Key: t.Key, SkipVerify: t.Cert != ""}
}

// tlsOf returns the certificates of a host, of which a RegistryConfig has one of each kind.
func (d *reader) tlsOf(at source.Cursor, ca []string, client [][2]string) (t draft.TLS) {
	if len(ca) > 1 {
		d.Lose(at.Loss("several certificate authorities for one host, of which only the first is "+
			"used here",
			"write all of them into one file, and name it in tls.caFile"))
	}
	if len(client) > 1 {
		d.Lose(at.Loss("several client certificates for one host, of which only the first is "+
			"used here",
			"if the host needs another one, name it in tls.certFile and tls.keyFile"))
	}
	valid := func(file string) string {
		at.Value = &source.Value{Kind: source.Scalar, Text: file, Line: at.Line, Column: at.Column}
		return d.Path(at)
	}
	if len(ca) > 0 {
		t.CA = valid(ca[0])
	}
	if len(client) > 0 {
		t.Cert, t.Key = valid(client[0][0]), valid(client[0][1])
		if client[0][1] == "" {
			t.Key = t.Cert // it holds the key too
		}
		if t.Cert == "" || t.Key == "" {
			t.Cert, t.Key = "", ""
		}
	}
	return t
}
