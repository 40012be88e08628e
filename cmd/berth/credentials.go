package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/reconcile"
)

func newCredentials(o *cli.Options) *cobra.Command {
	var show, check bool
	cmd := &cobra.Command{
		Use:   "credentials IMAGE",
		Short: "Show which credential each host gets when an image is pulled",
		Long: `Show which hosts containerd asks for an image, which credential each of them gets
in a header, and what kubelet's credential provider answers, or why it withholds
a credential. With kubelet.configJSON it also shows the login in kubelet's own
config.json.

With --check each host is asked for the image's manifest (HEAD), with the login
that containerd would send: an identity may get a token of ECR and still be denied
one repository.

Without a config, the rules of the credential provider on this node are used.
Exit code 1 if a token cannot be fetched, a credential is withheld, or, with
--check, a host refuses the login.`,
		Example: "  berth credentials 111122223333.dkr.ecr.us-east-1.amazonaws.com/app\n" +
			"  berth credentials docker.io/library/nginx -o json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, cfg, err := o.OpenMaybe(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer n.Close()
			e, err := n.Credentials(cmd.Context(), cfg, args[0], o.Logger(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			view := viewOf(e, show)
			login, file, err := n.ConfigJSONLogin(args[0])
			if err != nil {
				return err
			}
			if file != "" {
				v := secretView(login.Username, login.Password, time.Time{}, nil, show)
				v.Rule = "login " + login.Host
				view.ConfigJSON = &fileView{v, file}
			}
			if check {
				if err := checkHosts(o, cmd, n, cfg, args[0], &view); err != nil {
					return err
				}
			}
			if o.Output == "json" {
				err = cli.PrintJSON(cmd.OutOrStdout(), view)
			} else {
				err = view.print(cmd.OutOrStdout())
			}
			if view.refused() {
				err = errors.Join(err, &cli.ExitError{Code: cli.ExitFailed})
			}
			return errors.Join(err, failure(e))
		},
	}
	cmd.Flags().BoolVar(&show, "show-secret", false, "print passwords and tokens")
	cmd.Flags().BoolVar(&check, "check", false, "ask each host for the image with its login")
	return cmd
}

// failure is the exit code of an explanation, which has been printed.
func failure(e credprovider.Explanation) error {
	if e.Err != nil && !errors.Is(e.Err, credprovider.ErrNotServed) {
		return &cli.ExitError{Code: cli.ExitFailed}
	}
	for _, h := range e.Hosts {
		if h.Err != nil {
			return &cli.ExitError{Code: cli.ExitFailed}
		}
	}
	return nil
}

type credentialsView struct {
	Image     string     `json:"image"`
	Directory string     `json:"directory"`
	Hosts     []hostView `json:"hosts"`
	Provider  loginView  `json:"provider"`
	// ConfigJSON is the login that kubelet takes from its own config.json, which Berth wrote.
	ConfigJSON *fileView `json:"kubeletConfigJson,omitempty"`
	// Checks are the answers of the hosts to a request for the image, with --check.
	Checks []pullView `json:"checks,omitempty"`
}

type fileView struct {
	loginView
	File string `json:"file"`
}

type pullView struct {
	Host    string `json:"host"`
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused,omitempty"` // the login, or that there is none
	Status  int    `json:"status,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// checkHosts asks each host that containerd asks for the image.
func checkHosts(o *cli.Options, cmd *cobra.Command, n *reconcile.Node, cfg *config.Config, image string, v *credentialsView) error {
	t, err := newTracer(o, cmd, n, cfg, "", false, 5*time.Second)
	if err != nil {
		return err
	}
	t.ResolveOnly = true
	r := t.Image(cmd.Context(), image)
	for _, h := range r.Hosts {
		host := strings.TrimPrefix(strings.TrimPrefix(h.URL, "https://"), "http://")
		host, _, _ = strings.Cut(host, "/")
		c := pullView{
			Host: host, OK: h.Resolve.OK, Refused: h.Resolve.Refused(),
			Status: h.Resolve.Status, Detail: h.Resolve.Detail,
		}
		for _, n := range r.Notes {
			if n.ID == "denied" && strings.HasPrefix(n.Text, c.Host+" ") {
				c.Detail, c.Remedy = n.Text, n.Remedy
			}
		}
		v.Checks = append(v.Checks, c)
	}
	return nil
}

// refused reports whether no host that was asked has the image and one refused the login.
func (v credentialsView) refused() bool {
	refused := false
	for _, c := range v.Checks {
		if c.OK {
			return false
		}
		refused = refused || c.Refused
	}
	return refused
}

type hostView struct {
	Host    string `json:"host"`
	Channel string `json:"channel"` // header, provider or none
	loginView
}

type loginView struct {
	Rule     string     `json:"rule,omitempty"`
	Username string     `json:"username,omitempty"`
	Password string     `json:"password,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	Error    string     `json:"error,omitempty"`
}

func viewOf(e credprovider.Explanation, show bool) credentialsView {
	v := credentialsView{Image: e.Image.Name, Directory: e.Directory}
	for _, h := range e.Hosts {
		host := h.Host.Host
		if h.Host.Path != "" {
			host += "/" + h.Host.Path
		}
		hv := hostView{Host: host, Channel: "none", loginView: secretView(h.Username, h.Password, h.Expires, h.Err, show)}
		hv.Rule = h.Rule
		if h.Source != "" {
			hv.Rule += ", " + h.Source
		}
		switch {
		case h.Rule == "":
		case h.Host.Header:
			hv.Channel = "header"
		default:
			hv.Channel = "provider"
		}
		v.Hosts = append(v.Hosts, hv)
	}
	if c := e.Credential; c != nil {
		v.Provider = secretView(c.Username, c.Password, c.Expires, nil, show)
		v.Provider.Rule = c.Rule
	} else {
		v.Provider.Error = e.Err.Error()
	}
	return v
}

func secretView(username string, password redact.Secret, expires time.Time, err error, show bool) loginView {
	v := loginView{Username: username, Password: password.String()}
	if show {
		v.Password = password.Reveal()
	}
	if !expires.IsZero() {
		v.Expires = &expires
	}
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

func (v credentialsView) print(w io.Writer) error {
	directory := v.Directory
	switch directory {
	case "":
		directory = "none, so the registry itself is asked"
	case "*":
		directory = "_default"
	}
	text := fmt.Sprintf("image      %s\ndirectory  %s\n", v.Image, directory)
	for _, h := range v.Hosts {
		text += fmt.Sprintf("asks       %s: ", h.Host)
		switch {
		case h.Error != "":
			text += fmt.Sprintf("%s, but: %s\n", h.Rule, h.Error)
		case h.Channel == "none":
			text += "no credential\n"
		case h.Channel == "header":
			text += h.text() + ", in a header for this host alone\n"
		default:
			text += h.text() + ", by the credential provider if it may give it\n"
		}
	}
	if v.Provider.Error != "" {
		text += fmt.Sprintf("provider   none: %s\n", v.Provider.Error)
	} else {
		text += fmt.Sprintf("provider   %s\n", v.Provider.text())
	}
	if c := v.ConfigJSON; c != nil {
		text += fmt.Sprintf("config     %s, in %s; %s\n", c.text(), c.File, reconcile.UsedWithin)
	}
	for _, c := range v.Checks {
		switch {
		case c.OK:
			text += fmt.Sprintf("check      %s: it gives the image\n", c.Host)
		case c.Remedy != "":
			text += fmt.Sprintf("check      %s; %s\n", c.Detail, c.Remedy)
		default:
			text += fmt.Sprintf("check      %s: %s\n", c.Host, c.Detail)
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

func (v loginView) text() string {
	s := v.Rule
	if v.Username != "" { // "" for the pod's own role
		s += fmt.Sprintf(" (%s, %s)", v.Username, v.Password)
	}
	if v.Expires != nil {
		s += ", expires " + v.Expires.UTC().Format(time.RFC3339)
	}
	return s
}
