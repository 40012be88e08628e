package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/doctor"
	"github.com/berth-registry/berth/node/reconcile"
)

func newDoctor(o *cli.Options) *cobra.Command {
	var proc, address string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine this node: will pulls go where the config says",
		Long: `Check everything that decides whether pulls on this node go where the config says:
which containerd runs and whether it reads hosts.toml files, each directory of
certs.d, the modes of files with secrets, kubelet's credential providers, ECR
tokens, the metadata service, proxies, SELinux, and the alarms and mirrors of the
running agent. Nothing is changed.

Exit codes: 0 no check fails, even with warnings; 1 a check fails.`,
		Example: "  berth doctor\n  berth doctor -o json | jq '.[] | select(.level != \"ok\")'\n" +
			"  berth doctor --root /host --proc /host/proc   # in a container that has the node there",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := doctorInput(o, proc)
			if err != nil {
				return err
			}
			defer in.Machine.Root.Close()
			if sameNetwork(in.Machine.Proc) || cmd.Flags().Changed("address") {
				in.Agent = func(ctx context.Context) (doctor.AgentReport, error) { return agentReport(ctx, address) }
			}
			findings := doctor.Examine(cmd.Context(), in)
			err = o.Print(cmd.OutOrStdout(), findings, func(w io.Writer) error {
				return doctor.WriteText(w, findings, cli.Painter(w))
			})
			if err == nil && doctor.Worst(findings) == doctor.Fail {
				err = &cli.ExitError{Code: cli.ExitFailed}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&address, "address", status.Address, "host:port where the agent listens")
	cmd.Flags().StringVar(&proc, "proc", "", "the node's /proc (default: /proc, unless --root names another directory)")
	return cmd
}

// doctorInput is the node below the root, with its config.
func doctorInput(o *cli.Options, proc string) (doctor.Input, error) {
	root, err := nodefs.OpenRoot(o.Root)
	if err != nil {
		return doctor.Input{}, err
	}
	in := doctor.Input{
		Machine:    machine(o, root, proc),
		ConfigFile: o.Config, ConfigNamed: o.Config != "",
		Getenv: os.Getenv, Now: time.Now,
	}
	if in.Machine.Proc != "" {
		in.Sys = filepath.Join(filepath.Dir(filepath.Clean(in.Machine.Proc)), "sys")
	}
	if in.ConfigFile == "" {
		in.ConfigFile = root.Path(reconcile.ConfigFile)
	}
	in.Config, in.Warnings, in.ConfigErr = o.ReadConfig(root)
	if _, missing := errors.AsType[*cli.NoConfigError](in.ConfigErr); missing {
		in.ConfigErr = fs.ErrNotExist
	} else if in.ConfigErr != nil {
		in.ConfigErr = errors.New(in.ConfigErr.Error()) // a missing file that the config names is not ErrNotExist
	}
	in.InstallKubelet = func(ctx context.Context) error { return kubeletRefusal(ctx, o, in.Machine, in.Config) }
	return in, nil
}

// sameNetwork reports whether the node with that /proc and this process share a network namespace,
// and so the loopback address.
func sameNetwork(proc string) bool {
	node, err := os.Readlink(filepath.Join(proc, "1", "ns", "net"))
	ours, err2 := os.Readlink("/proc/self/ns/net")
	return proc != "" && err == nil && err2 == nil && node == ours
}

// agentReport asks the agent at an address for its status.
func agentReport(ctx context.Context, address string) (doctor.AgentReport, error) {
	body, err := askAgent(ctx, address)
	if err != nil {
		return doctor.AgentReport{}, err
	}
	s, err := status.Decode(body)
	if err != nil {
		return doctor.AgentReport{}, err
	}
	r := doctor.AgentReport{Summary: s.Line(), Ready: s.Ready.Ready, Reasons: s.Ready.Reasons}
	for _, a := range s.Alarms {
		r.Alarms = append(r.Alarms, doctor.Alarm{
			Name: a.Name, Subject: a.Subject, Message: a.Message, Critical: a.Severity == status.Critical, URL: a.URL(),
		})
	}
	for _, m := range s.Mirrors {
		for _, endpoint := range m.Endpoints {
			switch endpoint.State {
			case status.Up:
				r.Up++
			case status.Down:
				r.Down++
			default:
				r.NotProbed++
			}
		}
	}
	return r, nil
}
