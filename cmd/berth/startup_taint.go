package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent/startup"
	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/internal/daemonlog"
	"github.com/berth-registry/berth/internal/kubeapi"
)

func newStartupTaint() *cobra.Command {
	var opts startup.Options
	var account, listen string
	open := limit(0)
	cmd := &cobra.Command{
		Use:   "startup-taint",
		Short: "Remove the taint with which nodes join when their agent is ready, for a Deployment",
		Long: `Watch the nodes of a cluster, and remove their startup taint when the pod of
Berth's DaemonSet is ready on them: hosts.toml files are written, and the
credential provider is in its place. The chart runs this once in a cluster, in
a Deployment of its own, if startupTaint.enabled is true. The agents have no right
in the API.

Only taints with the key are removed. With --fail-open a taint is also removed
when that much time has passed since the node was created.

The process needs a service account that may list, watch, get and patch nodes,
and list and watch pods in the namespace of the DaemonSet. KUBERNETES_SERVICE_HOST
and KUBERNETES_SERVICE_PORT name the API server. It runs until it is stopped.`,
		Example: "  berth startup-taint --key startup-taint.cluster-autoscaler.kubernetes.io/berth\n" +
			"  berth startup-taint --key berth.example/starting --fail-open 10m",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := startup.CheckKey(opts.Key); err != nil {
				return cli.Usage(fmt.Errorf("--key: %w", err))
			}
			opts.FailOpen = time.Duration(open)
			opts.Log = daemonlog.New(cmd.ErrOrStderr())
			if opts.API, err = kubeapi.InCluster(account); err != nil {
				return err
			}
			defer opts.API.Close()
			if opts.Namespace == "" {
				if opts.Namespace, err = opts.API.Namespace(); err != nil {
					return fmt.Errorf("%w; name the namespace with --namespace", err)
				}
			}
			c := startup.New(opts)
			if listen == "" {
				c.Run(cmd.Context())
				return nil
			}
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			return c.RunAndServe(cmd.Context(), l)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Key, "key", "", "key of the taint, as kubelet's --register-with-taints has it")
	flags.Var(&open, "fail-open", "remove the taint this long after the node was created, whatever the agent does: 10m, or never")
	flags.StringVar(&opts.Namespace, "namespace", "", "namespace of Berth's DaemonSet (default: that of this pod)")
	flags.StringVar(&opts.Selector, "selector", "app.kubernetes.io/name=berth", "labels of the DaemonSet's pods")
	flags.StringVar(&listen, "listen", ":9475", `host:port of /livez, /readyz and /metrics; "" for none`)
	flags.Var((*cli.FileName)(&account), "service-account", "directory with token, ca.crt and namespace of the service account")
	account = kubeapi.ServiceAccountDir
	flags.Lookup("service-account").DefValue = account
	return cmd
}

// limit is the value of --fail-open: a duration, or 0 for never.
type limit time.Duration

func (l *limit) Type() string { return "duration" }

func (l *limit) String() string {
	if *l == 0 {
		return "never"
	}
	return time.Duration(*l).String()
}

func (l *limit) Set(value string) error {
	if value == "never" {
		*l = 0
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return errors.New("write a duration such as 10m, or never")
	}
	*l = limit(d)
	return nil
}
