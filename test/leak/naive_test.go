package leak

import (
	"context"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// naive is the control: a typical provider. It uses the name of the image and the mirrors of the
// config, and ignores the hosts that containerd will ask. The test must find its leaks.
type naive struct {
	round  *round
	tokens *credprovider.Tokens
}

func (n *naive) credential(ctx context.Context, image string) (passed, error) {
	for _, l := range n.round.logins {
		if strings.HasPrefix(image, strings.TrimSuffix(l.host+"/"+l.path, "/")) {
			return passed{l.username, l.password}, nil
		}
	}
	registry, _, _ := strings.Cut(image, "/")
	names := append([]string{registry}, n.round.mirrored[registry]...)
	for _, name := range append(names, n.round.mirrored["*"]...) {
		for host := range ecrHosts() {
			if !strings.Contains(name, host) {
				continue
			}
			r, _ := ecr.ParseHost(host)
			t, err := n.tokens.Get(ctx, r)
			if err != nil {
				return passed{}, err
			}
			return passed{t.Username, t.Password.Reveal()}, nil
		}
	}
	return passed{}, nil
}
