package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/cmd/berth/cli"
)

func newStatus(o *cli.Options) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the running agent",
		Long: `Show alarms, mirrors, tokens, files and the last errors of the agent that runs on
this node, over HTTP; -o json prints its answer unchanged.

Exit codes: 0 the agent is ready, even with alarms; 1 it is not ready, or no agent
answers. For scripts: berth status -o json | jq '.alarms | length'`,
		Example: "  berth status\n  berth status --address 127.0.0.1:9475 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
				return cli.Usage(fmt.Errorf("--address: %q is not host:port, such as %s", address, status.Address))
			}
			body, err := askAgent(cmd.Context(), address)
			if err != nil {
				return err
			}
			snapshot, err := status.Decode(body)
			if err != nil {
				return fmt.Errorf("http://%s/status: %w; name the agent's address with --address", address, err)
			}
			w := cmd.OutOrStdout()
			if o.Output == "json" {
				_, err = w.Write(body)
			} else {
				err = status.WriteText(w, snapshot, cli.Painter(w))
			}
			if err == nil && !snapshot.Ready.Ready {
				err = &cli.ExitError{Code: cli.ExitFailed}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&address, "address", status.Address, "host:port where the agent listens")
	return cmd
}

// An agent answers in milliseconds, even with a thousand upstreams, whose status is well below this
// size.
const (
	statusTimeout = 10 * time.Second
	maxStatus     = 64 << 20
)

// askAgent returns the agent's status as JSON.
func askAgent(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", nil)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("--address: %w", err))
	}
	// No proxy: the agent is on this node. No redirect: it sends none.
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no agent answers at %s: %w; start it with \"berth agent\" (systemctl start berth), or name its address with --address", address, cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("http://%s/status: %w", address, err)
	case len(body) > maxStatus:
		return nil, fmt.Errorf("http://%s/status: the answer is longer than %d bytes, so it is not from berth's agent; name the agent's address with --address", address, maxStatus)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("http://%s/status answers %q, not as berth's agent does; name the agent's address with --address", address, resp.Status)
	}
	return body, nil
}

// cause is the cause of an error without the request, which the message names already.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
