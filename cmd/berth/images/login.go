package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/credprovider/helper"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/proxy/transport"
)

// ways are how registries are reached and logged in to.
type ways struct {
	access registry.Access
	aws    *credprovider.Tokens
	cfg    *config.Config // nil without one
}

// newWays takes the logins from the config, if there is one, from docker's config,
// and from AWS.
func newWays(o *cli.Options, stderr io.Writer) (ways, error) {
	cfg, helpers, reasons, err := configForImages(o, stderr)
	if err != nil {
		return ways{}, err
	}
	w := ways{cfg: cfg, access: registry.Access{Docker: authn.DefaultKeychain}}
	var rules credprovider.Rules
	if cfg != nil {
		rules = cfg.ProviderRules()
		w.access.Logins = credprovider.NewLogins(helpers.FillAll(rules.Registries), rules.DockerConfig)
		w.access.Helpers = registry.NewHelpers(cfg.Helpers(), helpers, helper.Runner{}.Ask)
		w.access.HelperErrors = reasons
		w.access.Settings = registry.SettingsOf(cfg)
		w.access.Proxy = transport.Proxy(cfg.Proxy.Settings().Or(proxy.FromEnvironment(os.Getenv)))
		w.access.ECRNames = rules.ECRNames
	}
	dir, err := below(o.Root, []string{credprovider.TokenDir})
	if err != nil {
		return ways{}, err
	}
	w.aws = rules.Tokens(dir[0], ecr.Options{Log: o.Logger(stderr), Client: client.New(client.Options{Proxy: rules.Proxy})})
	w.aws.Log = o.Logger(stderr)
	w.access.ECR = w.aws
	return w, nil
}

// configForImages returns the config of this node, nil if there is none or if this user may not
// read it: images can be copied without root.
// With it come the logins of its credential helpers, and why others are missing.
func configForImages(o *cli.Options, stderr io.Writer) (*config.Config, credprovider.HelperLogins, map[string]error, error) {
	n, cfg, err := o.OpenMaybe(stderr)
	if err != nil && o.Config == "" && errors.Is(err, fs.ErrPermission) {
		fmt.Fprintf(stderr, "note: going on without the config of this node: %v\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if cfg == nil {
		return nil, nil, nil, n.Close()
	}
	logins, reasons := n.HelperLogins(context.Background(), cfg) // bounded by itself
	return cfg, logins, reasons, n.Close()
}
