package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/internal/daemonlog"
	"github.com/berth-registry/berth/node/reconcile"
)

func newAgent(o *cli.Options) *cobra.Command {
	var opts agent.Options
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the daemon that keeps the node as the config says",
		Long: `Keep the node as the config says until it is stopped: follow changes of the config
and of the files that it names, renew ECR tokens before they expire, leave out
mirrors that do not answer, and repair files of Berth that were edited. containerd
and kubelet are never restarted.

An invalid config changes nothing: the last good one stays in use. SIGHUP makes
the agent check everything at once. It serves a page for people, metrics and its
state as JSON at --listen, with the name of the node's pool that BERTH_POOL gives.`,
		Example: "  berth agent\n  berth agent -c config.yaml --root /tmp/try --listen 127.0.0.1:0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckListen(opts.Listen); err != nil {
				return cli.Usage(err)
			}
			n, err := reconcile.Open(o.Root)
			if err != nil {
				return err
			}
			defer n.Close()
			opts.ConfigPath = o.Config
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			opts.Reload = reload
			opts.Version, opts.Pool = buildVersion().Version, os.Getenv("BERTH_POOL")
			opts.Log = daemonlog.New(cmd.ErrOrStderr())
			return agent.New(n, opts).Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Listen, "listen", status.Address, `host:port of the page, /metrics, /livez, /readyz and /status; "" for none`)
	flags.BoolVar(&opts.Restore, "restore", false, "put every file back as it was before Berth, then keep running and report ready")
	return cmd
}
