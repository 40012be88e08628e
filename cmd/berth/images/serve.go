package images

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/serve"
	"github.com/berth-registry/berth/internal/daemonlog"
	"github.com/berth-registry/berth/internal/hostport"
)

// serveOptions are the flags of berth images serve.
type serveOptions struct {
	listen, tlsCert, tlsKey, htpasswd string
}

func newServe(o *cli.Options) *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve DIR|FILE.tar.zst",
		Short: "Answer pulls from a directory or a file of images, as a read-only registry",
		Long: `Serve the images of a directory (oci:DIR or DIR) or a file (FILE.tar, FILE.tar.zst)
that berth images copy has written, straight from there. Nothing is unpacked, and
nothing is written.

It is a registry for pulls, and a mirror for every registry whose images it has. An
image is found

  with ?ns=REGISTRY        as containerd asks a mirror: REGISTRY/path and no other
  by /v2/REGISTRY/path     as in localhost:5000/docker.io/library/redis:7
  by /v2/path              if no two registries in it have different
                           images of that name

A change of the directory or the file is seen at the next pull. The certificate and
the file of passwords are read again when they change. Passwords are those of
htpasswd -B; they are refused over plain http unless --listen is an address of this
machine alone.

It is not a cache and takes no push: for that use distribution, zot or Harbor.`,
		Example: "  berth images serve oci:usb-stick\n" +
			"  berth images serve images.tar.zst --listen :5000 --tls-cert tls.crt --tls-key tls.key\n" +
			"  berth images serve usb-stick --listen :5000 --tls-cert tls.crt --tls-key tls.key --htpasswd users",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("needs images: oci:DIR, DIR, FILE.tar or FILE.tar.zst")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.listen, "listen", "127.0.0.1:5000", "host:port to answer on; :5000 for all addresses of this machine")
	f.StringVar(&opts.tlsCert, "tls-cert", "", "PEM file with the certificate of this server and its chain")
	f.StringVar(&opts.tlsKey, "tls-key", "", "PEM file with its private key")
	f.StringVar(&opts.htpasswd, "htpasswd", "", "file of users and bcrypt hashes, as htpasswd -B writes it; without it anyone may pull")
	return cmd
}

func (opts *serveOptions) run(cmd *cobra.Command, name string) error {
	if err := opts.check(); err != nil {
		return cli.Usage(err)
	}
	at, err := reference.ParseSource(name)
	if err != nil {
		return cli.Usage(err)
	}
	log := daemonlog.New(cmd.ErrOrStderr())
	images := &serve.Follower{
		Open: func() (serve.SourceCloser, error) { return bundle.OpenLocation(at) },
		File: bundle.IndexFile(at),
	}
	defer images.Close()
	repositories, err := images.Repositories()
	if err != nil {
		return err
	}
	var handler http.Handler = &serve.Handler{Images: images, Log: log}
	if opts.htpasswd != "" {
		passwords, err := serve.ReadPasswords(opts.htpasswd)
		if err != nil {
			return err
		}
		handler = passwords.Protect(handler)
	}
	server := serve.NewServer(handler, log)
	scheme := "http"
	if opts.tlsCert != "" {
		certificate, err := serve.ReadCertificate(opts.tlsCert, opts.tlsKey)
		if err != nil {
			return err
		}
		scheme = "https"
		server.TLSConfig = &tls.Config{GetCertificate: certificate.Get, MinVersion: tls.VersionTLS12}
	}
	l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", opts.listen)
	if err != nil {
		return err
	}
	log.Info("serving", "images", at.String(), "repositories", len(repositories), "address", scheme+"://"+l.Addr().String())
	return serve.Run(cmd.Context(), server, l)
}

// check finds mistakes in the flags.
func (opts *serveOptions) check() error {
	if err := cli.CheckListen(opts.listen); err != nil || opts.listen == "" {
		return errors.Join(err, map[bool]error{true: errors.New("--listen: is empty; write host:port")}[opts.listen == ""])
	}
	if (opts.tlsCert == "") != (opts.tlsKey == "") {
		return errors.New("--tls-cert and --tls-key: only one of them is given; give both")
	}
	if opts.htpasswd != "" && opts.tlsCert == "" && !hostport.IsLoopback(opts.listen) {
		return fmt.Errorf("--htpasswd: passwords would cross the network in clear text at %s; add --tls-cert and --tls-key, or listen on 127.0.0.1",
			opts.listen)
	}
	return nil
}
