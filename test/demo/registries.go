package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"
)

// demoPassword is the password of the demo's private registry.
const demoPassword = "open sesame"

// registries are the registries of the demo.
type registries struct {
	mirror, private *server
	dead            string   // an address on which nothing listens
	held            *os.File // the socket that keeps it from others
	digest          string   // of docker.io/library/hello:1.0
}

type server struct {
	addr string
	http *http.Server
	done chan error
}

func startRegistries() (*registries, error) {
	r := &registries{}
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	var err error
	if r.mirror, err = serve(registry.New(quiet)); err != nil {
		return nil, err
	}
	if r.private, err = serve(withLogin(registry.New(quiet))); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err := r.fill(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// fill pushes the sample images and finds an address on which nothing listens.
func (r *registries) fill() error {
	hello, err := random.Image(1024, 2)
	if err != nil {
		return err
	}
	digest, err := hello.Digest()
	if err != nil {
		return err
	}
	r.digest = digest.String()
	tool, err := random.Image(1024, 1)
	if err != nil {
		return err
	}
	if err := push(r.mirror.addr+"/hub/library/hello:1.0", hello); err != nil {
		return err
	}
	if err := push(r.private.addr+"/company/team/tool:2.0", tool); err != nil {
		return err
	}
	return r.holdDead()
}

// holdDead binds a socket that does not listen: no other process gets the port, and connections are
// refused.
func (r *registries) holdDead() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r.held = os.NewFile(uintptr(fd), "the dead mirror")
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	inet, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return errors.New("the socket of the dead mirror has no address")
	}
	r.dead = net.JoinHostPort("127.0.0.1", strconv.Itoa(inet.Port))
	return nil
}

func push(to string, image v1.Image) error {
	ref, err := name.ParseReference(to, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, remote.WithAuth(&authn.Basic{Username: "demo", Password: demoPassword}))
}

// withLogin requires the login of the demo.
func withLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "demo" || password != demoPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func serve(handler http.Handler) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), http: &http.Server{Handler: handler}, done: make(chan error, 1)}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

func (s *server) close() error {
	if s == nil {
		return nil
	}
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (r *registries) close() error {
	err := errors.Join(r.mirror.close(), r.private.close())
	if r.held != nil {
		err = errors.Join(err, r.held.Close())
	}
	return err
}
