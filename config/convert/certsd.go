package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/plainfile"
)

// berthDir holds the certificates that Berth writes.
const berthDir = "_berth"

// maxFile is the largest file of a directory that is read, in bytes.
const maxFile = 1 << 20

// certs is a draft with what is read from a certs.d and from Docker's daemon.json.
type certs struct {
	*Draft
	uses hostUses // settings of hosts in hosts.toml files
}

// registryDirectory is one directory of a certs.d.
type registryDirectory struct {
	in       *Input // names the directory or its hosts.toml in messages
	upstream string
	path     string // below which the files that it names are
	hosts    []byte // content of hosts.toml, empty if there is none
	// ca and client are the certificates of Docker's layout.
	ca     []string
	client [][2]string
}

// fromHostsFile returns a function that reads one hosts.toml with the content data.
func fromHostsFile(name string, data []byte) func(*Draft, Cursor) {
	return func(base *Draft, _ Cursor) {
		d := &certs{Draft: base}
		dir, err := filepath.Abs(filepath.Dir(name))
		if name == "-" || name == "" || err != nil {
			d.In.FailAt(0, 0, "", "the name of a hosts.toml's directory says which registry it is for; "+
				"name the file: berth convert --from certs.d docker.io/hosts.toml")
			return
		}
		upstream, err := upstreamOf(filepath.Base(dir))
		switch {
		case err != nil:
			d.In.FailAt(0, 0, "", fmt.Sprintf("its directory %q %s; put the file into a directory with the name of the registry, such as docker.io or registry.corp_5000_",
				OneLine(filepath.Base(dir)), err))
			return
		case hostsconf.WrittenByBerth(data):
			d.In.FailAt(0, 0, "", "was written by berth; the RegistryConfig that it was made from has its settings already")
			return
		}
		d.addDirectories([]registryDirectory{{in: d.In, upstream: upstream, path: dir, hosts: data}})
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

// certsDirectory reads a certs.d, or the directory of one registry.
func certsDirectory(base *Draft, name string, tree fs.FS) {
	d := &certs{Draft: base}
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
		d.In.FailAt(0, 0, "", fmt.Sprintf("has a hosts.toml, and its name %s; name the directory that holds one directory for each registry", err))
		return
	}
	if r, ok := d.readDirectory(tree, ".", abs, upstream); ok {
		d.addDirectories([]registryDirectory{r})
	}
}

// readDirectories reads the directories below base in tree, which is at abs.
func (d *certs) readDirectories(tree fs.FS, base, abs string) []registryDirectory {
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
		at := Cursor{In: d.In.Below(dir)}
		if err != nil {
			d.Lose(at.Loss("cannot be read: "+plainfile.WithoutPath(err).Error(), "it is left out"))
			continue
		}
		upstream, err := upstreamOf(entry.Name())
		first := hostsconf.DirName(upstream)
		switch {
		case err != nil:
			d.Lose(at.Loss(err.Error(), d.Format.Program()+" never reads this directory, and it has no effect here either"))
		case first != entry.Name() && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == first }):
			d.Lose(at.Loss("containerd reads "+first+" instead, which is the same registry", "it has no effect here either"))
		default:
			if r, ok := d.readDirectory(tree, dir, filepath.Join(abs, entry.Name()), upstream); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

// readDirectory reads the directory of one registry. ok is false if it is left out.
func (d *certs) readDirectory(tree fs.FS, dir, abs, upstream string) (r registryDirectory, ok bool) {
	r = registryDirectory{in: d.In.Below(dir), upstream: upstream, path: abs}
	entries, err := fs.ReadDir(tree, dir)
	if err != nil {
		d.Lose(Cursor{In: r.in}.Loss("cannot be read: "+plainfile.WithoutPath(err).Error(), "it is left out"))
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
			if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == base+".key" }) {
				pair[1] = filepath.Join(abs, base+".key")
			}
			r.client = append(r.client, pair)
		}
	}
	r.hosts, err = readRegular(tree, path.Join(dir, hostsconf.FileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, true
	case err != nil:
		d.Lose(Cursor{In: d.In.Below(path.Join(dir, hostsconf.FileName))}.Loss("cannot be read: "+err.Error(), "it is left out"))
		return r, false
	}
	r.in = d.In.Below(path.Join(dir, hostsconf.FileName))
	if hostsconf.WrittenByBerth(r.hosts) {
		d.Lose(Cursor{In: r.in}.Loss("was written by berth; the RegistryConfig that it was made from has its settings already",
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
func (d *certs) addDirectories(all []registryDirectory) {
	if len(all) > 0 && d.Format == CertsD {
		d.Note("These files are not Berth's: \"berth plan\" reports those in the way, and containerd.onConflict: adopt takes them over and keeps the originals. "+
			"If containerd reads another directory than %s, write it as containerd.certsDir.", "/etc/containerd/certs.d")
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

// addCertificates adds the certificates of Docker's layout. containerd uses them only in a directory
// without a hosts.toml, for the registry itself.
func (d *certs) addCertificates(r registryDirectory) {
	at := Cursor{In: r.in}
	if d.Format == Docker {
		r.client = slices.DeleteFunc(r.client, func(pair [2]string) bool {
			if pair[1] == "" {
				d.Lose(at.Loss("a client certificate (.cert) has no key of the same name (.key)", "Docker refused it too; this host is asked without it"))
			}
			return pair[1] == ""
		})
	}
	tls := d.tlsOf(at, r.ca, r.client)
	switch {
	case tls == (TLS{}):
	case r.upstream == hostsconf.Default:
		d.Lose(at.Loss("certificates for every registry without a directory cannot be carried over: Berth ties them to a host",
			"hosts without an entry of their own are asked without them; name each host under registries"))
		return
	case hostport.IsLoopback(r.upstream):
		tls = d.unverified(r.upstream, tls)
	}
	d.uses.add(hostUse{at: at, host: r.upstream, upstream: r.upstream, tls: tls, byRule: hostport.IsLoopback(r.upstream)})
}

// unverified returns the tls settings of a registry on this machine that no server line names:
// containerd and Docker do not verify it.
func (d *certs) unverified(upstream string, t TLS) TLS {
	if t.CA != "" {
		d.Note("%s: containerd and Docker do not verify a registry on this machine, so its certificate authority had no effect and is left out.", upstream)
	}
	return TLS{Cert: t.Cert, Key: t.Key, SkipVerify: t.Cert != ""}
}

// tlsOf returns the certificates of a host, of which a RegistryConfig has one of each kind.
func (d *certs) tlsOf(at Cursor, ca []string, client [][2]string) (t TLS) {
	if len(ca) > 1 {
		d.Lose(at.Loss("several certificate authorities for one host, of which only the first is used here",
			"write all of them into one file, and name it in tls.caFile"))
	}
	if len(client) > 1 {
		d.Lose(at.Loss("several client certificates for one host, of which only the first is used here",
			"if the host needs another one, name it in tls.certFile and tls.keyFile"))
	}
	valid := func(file string) string {
		return d.Path(Cursor{In: at.In, Value: &Value{Kind: Scalar, Text: file, Line: at.Line, Column: at.Column}, Path: at.Path, Line: at.Line, Column: at.Column})
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
