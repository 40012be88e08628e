package hostsconf

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/redact"
)

// ForeignCertificates are the certificate files of Docker's layout in one directory below
// certs.d: *.crt for a CA, *.cert with *.key for a client. containerd uses them for the registry
// itself, but only if the directory that wins holds no hosts.toml (core/remotes/docker/config,
// loadHostDir). A hosts.toml keeps their effect by naming them.
type ForeignCertificates struct {
	// Dir is the name of the directory below certs.d.
	Dir string
	// CA and Client name files in Dir. If a client certificate has no key file of its own, it
	// also stands for the key, as in containerd.
	CA     []string
	Client [][2]string
	// Material is the content of the readable files, for connections that Berth opens. If
	// there are several client certificates, it holds the first.
	Material TLS
}

// IsZero reports whether there is no certificate.
func (c *ForeignCertificates) IsZero() bool {
	return c == nil || len(c.CA) == 0 && len(c.Client) == 0
}

// Names lists the file names in order, each once.
func (c *ForeignCertificates) Names() []string {
	names := slices.Clone(c.CA)
	for _, pair := range c.Client {
		names = append(names, pair[:]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Foreign holds the certificates below one certs.d that Berth did not write, by directory.
type Foreign struct {
	// own holds the directories that exist even without Berth's files. A directory without
	// certificates has a nil or empty value: containerd's search ends there.
	own map[string]*ForeignCertificates
	// Linked reports that _default is a symlink, which is not followed.
	Linked bool
}

// HasCertificates reports whether a directory below certsDir, a path of this process, holds a
// file with a certificate's name. It reads directories only.
func HasCertificates(certsDir string) bool {
	dirs, _ := os.ReadDir(certsDir)
	return slices.ContainsFunc(dirs, func(d os.DirEntry) bool {
		if UpstreamOf(d.Name()) == "" {
			return false
		}
		if !d.IsDir() {
			return d.Name() == defaultDir && d.Type()&os.ModeSymlink != 0
		}
		entries, _ := os.ReadDir(filepath.Join(certsDir, d.Name()))
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return isCertificate(e.Name()) })
	})
}

func isCertificate(name string) bool {
	return strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".cert")
}

// FindForeignCertificates finds the certificates that have an effect without Berth's files.
// snapshot is the result of [Tree.Read] for certsDir, a path of this process.
func FindForeignCertificates(certsDir string, snapshot managedfile.Snapshot) Foreign {
	f := Foreign{own: map[string]*ForeignCertificates{}}
	theirs := map[string]bool{} // directories with a foreign hosts.toml, now or before adoption
	for _, o := range snapshot.Files {
		if path.Base(o.Path) == fileName && (o.Owner == managedfile.Foreign || o.Original != nodefs.None) {
			theirs[path.Base(path.Dir(o.Path))] = true
		}
	}
	for _, d := range snapshot.Dirs {
		if UpstreamOf(d.Name) == "" {
			continue
		}
		f.Linked = f.Linked || d.Symlink && d.Name == defaultDir
		foreign := slices.ContainsFunc(d.Entries, func(name string) bool { return name != fileName })
		switch {
		case theirs[d.Name] || d.Symlink:
			f.own[d.Name] = nil
		case foreign:
			f.own[d.Name] = certificatesIn(certsDir, d.Name, d.Entries)
		}
	}
	return f
}

// certificatesIn classifies the files of a directory as containerd's loadCertFiles does.
func certificatesIn(certsDir, name string, entries []string) *ForeignCertificates {
	c := &ForeignCertificates{Dir: name}
	at := func(file string) string { return filepath.Join(certsDir, name, file) }
	entries = slices.DeleteFunc(slices.Clone(entries), func(file string) bool {
		info, err := os.Lstat(at(file))
		return err != nil || info.IsDir()
	})
	slices.Sort(entries)
	read := func(file string) []byte {
		content, _ := ReadSafely(at(file))
		return content
	}
	for _, file := range entries {
		base, isClient := strings.CutSuffix(file, ".cert")
		switch {
		case strings.HasSuffix(file, ".crt"):
			c.CA = append(c.CA, file)
			c.Material.CA = append(append(c.Material.CA, read(file)...), '\n')
		case isClient:
			key := base + ".key"
			if !slices.Contains(entries, key) {
				key = file
			}
			if len(c.Client) == 0 {
				c.Material.Cert, c.Material.Key = read(file), redact.New(string(read(key)))
			}
			c.Client = append(c.Client, [2]string{file, key})
		}
	}
	return c
}

// For returns the certificates that have an effect on a registry without Berth's files: those of
// the first directory that containerd finds. It returns nil if there are none.
func (f Foreign) For(upstream string) *ForeignCertificates {
	for _, name := range dirNames(upstream) {
		if c, exists := f.own[name]; exists {
			if c.IsZero() {
				return nil
			}
			return c
		}
	}
	return nil
}

// relative returns the path of a file of c as the hosts.toml of upstream must name it.
func (c *ForeignCertificates) relative(upstream, file string) string {
	if c.Dir == DirName(upstream) {
		return file
	}
	return path.Join("..", c.Dir, file)
}

// standIns returns replacements for the foreign certificate files, for reading a hosts.toml back.
// Berth does not judge foreign certificates, and a bad one must not block other registries.
func (d Directory) standIns(hostsFile string) ([]managedfile.File, error) {
	var files []managedfile.File
	seen := map[string]bool{}
	add := func(c *ForeignCertificates) error {
		if c.IsZero() {
			return nil
		}
		pem, err := standIn()
		if err != nil {
			return err
		}
		for _, name := range c.Names() {
			file := path.Join(path.Dir(hostsFile), c.relative(d.Upstream, name))
			if !seen[file] {
				seen[file] = true
				files = append(files, managedfile.File{Path: file, Body: pem})
			}
		}
		return nil
	}
	err := add(d.Foreign)
	if d.Server != nil {
		err = errors.Join(err, add(d.Server.TLS.Foreign))
	}
	for _, h := range d.Hosts {
		err = errors.Join(err, add(h.TLS.Foreign))
	}
	return files, err
}

// standIn returns a new certificate and its key, both in one PEM file.
func standIn() ([]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}
