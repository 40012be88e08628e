package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/reconcile"
)

func newCredentials(o *options) *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "credentials IMAGE",
		Short: "Show which credential each host gets when an image is pulled",
		Long: `Show which hosts containerd asks for an image, which credential each of them gets
in a header, and what kubelet's credential provider answers, or why it withholds
a credential.

Without a config, the rules of the credential provider on this node are used.
Exit code 1 if a token cannot be fetched or a credential is withheld.`,
		Example: "  berth credentials 111122223333.dkr.ecr.us-east-1.amazonaws.com/app\n" +
			"  berth credentials docker.io/library/nginx -o json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, cfg, err := o.openMaybe(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer m.Close()
			e, err := m.Credentials(cmd.Context(), cfg, args[0], o.logger(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			view := viewOf(e, show)
			if o.output == "json" {
				err = printJSON(cmd.OutOrStdout(), view)
			} else {
				err = view.print(cmd.OutOrStdout())
			}
			return errors.Join(err, failure(e))
		},
	}
	cmd.Flags().BoolVar(&show, "show-secret", false, "print passwords and tokens")
	return cmd
}

// openMaybe is open, but returns a nil config if none is named and the node has none.
func (o *options) openMaybe(stderr io.Writer) (*reconcile.Node, *config.Config, error) {
	m, cfg, err := o.open(stderr)
	if _, none := errors.AsType[*noConfigError](err); o.config != "" || !none {
		return m, cfg, err
	}
	m, err = reconcile.Open(o.root)
	return m, nil, err
}

// failure is the exit code of an explanation, which has been printed.
func failure(e credprovider.Explanation) error {
	if e.Err != nil && !errors.Is(e.Err, credprovider.ErrNotServed) {
		return &codeError{code: exitFailed}
	}
	for _, h := range e.Hosts {
		if h.Err != nil {
			return &codeError{code: exitFailed}
		}
	}
	return nil
}

type credentialsView struct {
	Image     string     `json:"image"`
	Directory string     `json:"directory"`
	Hosts     []hostView `json:"hosts"`
	Provider  loginView  `json:"provider"`
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
