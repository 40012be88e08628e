package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/internal/kubeletauths"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
)

// configJSONScope marks kubelet's own config.json in Berth's record. Nothing foreign is taken over:
// that file would lose its effect.
var configJSONScope = managedfile.Scope{Name: "kubelet-config-json"}

// UsedWithin is how kubelet follows a change of its config.json, for messages: it keeps what it has
// read for five minutes.
const UsedWithin = "kubelet uses a change within five minutes"

// NoLogin is the reason for no file if every login has another channel.
const NoLogin = "no login needs it"

// ConfigJSONPlan is the plan for kubelet's own config.json.
type ConfigJSONPlan struct {
	// Path is where it is or would be; "" if the config asks for none and there is none.
	Path string
	// Hosts are those whose login it is to hold.
	Hosts []string
	// Why is the reason why nothing is written, "" if there is none.
	Why string
	// Unseen says why the places where kubelet looks are not known, although the file is there.
	Unseen string
	// Notices are about the logins that are left out.
	Notices []desired.Notice
	Changes []managedfile.Change

	logins []kubeletauths.Login // by host
	states States
}

// configJSON plans kubelet's config.json: rules say which login kubelet may pass, with the digests of
// the hosts.toml files that are on the node now.
func (n *Node) configJSON(cfg *config.Config, states States, rules credprovider.Rules) (ConfigJSONPlan, error) {
	p := ConfigJSONPlan{states: states}
	own, err := n.ownConfigJSON()
	if err != nil {
		return p, err
	}
	if own != nil {
		p.Path = own.Path
	}
	var wanted []managedfile.File
	var foreign []node.ForeignLogins
	if cfg.Kubelet.ConfigJSON {
		p.chooseLogins(cfg, &credprovider.Provider{Rules: rules, Resolve: n.Root.Resolve})
		places := states.kubelet
		if places.Unseen == "" {
			p.Path = places.Path
		}
		replaced := own != nil && own.Theirs && own.Path == p.Path
		switch {
		case p.Why != "":
		case places.Unseen != "" && own == nil:
			p.Why = places.Unseen
		case len(places.Foreign) > 0:
			if foreign, err = n.atFirstPlace(&p); err != nil {
				return p, err
			}
			foreign = append(foreign, places.Foreign...)
			p.Why = fmt.Sprintf("%s: %s", foreign[0].Path, foreign[0].Why)
		case replaced:
			p.Why = "another program has replaced it"
		default:
			p.Unseen = places.Unseen
			if wanted, err = p.files(); err != nil {
				return p, err
			}
		}
	}
	if wanted == nil {
		p.logins, p.Hosts = nil, nil
	}
	snapshot, err := n.Store.Observe(configJSONScope, wanted)
	if err != nil {
		return p, err
	}
	p.Changes = managedfile.Plan(wanted, snapshot)
	for i, c := range p.Changes {
		p.Changes[i].Reason = p.reason(c)
		if c.Action == managedfile.Conflict {
			p.Why, p.logins, p.Hosts = c.Reason, nil, nil
		}
	}
	for _, f := range foreign {
		c := managedfile.Change{
			Action: managedfile.Conflict, Path: f.Path, Before: managedfile.Observed{Path: f.Path, Owner: managedfile.Foreign},
			Reason: fmt.Sprintf("%s; %s would silence it and is not written; name its logins in dockerConfigFile, then remove it", f.Why, p.Path),
		}
		if f.Path == p.Path {
			c.Reason = f.Why
			c.Reason = p.reason(c)
		}
		p.Changes = append(p.Changes, c)
	}
	return p, nil
}

// atFirstPlace returns the foreign file at the path of p, which kubelet reads before all others.
func (n *Node) atFirstPlace(p *ConfigJSONPlan) ([]node.ForeignLogins, error) {
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	snapshot, err := n.Store.Observe(configJSONScope, files)
	for _, o := range snapshot.Files {
		if o.Path == p.Path && o.Owner == managedfile.Foreign && o.Kind != nodefs.None {
			return []node.ForeignLogins{{Path: o.Path, Why: "not written by berth"}}, err
		}
	}
	return nil, err
}

// summary says what the file holds, or why there is none.
func (p *ConfigJSONPlan) summary() []desired.Notice {
	message := fmt.Sprintf("holds the login of %s; ", strings.Join(p.Hosts, ", "))
	switch {
	case len(p.Hosts) > 0 && p.Unseen != "":
		message += "whether kubelet uses another file is not known: " + p.Unseen
	case len(p.Hosts) > 0:
		message += UsedWithin
	case p.Why != "":
		message = "no login is written: " + p.Why
	default:
		return nil
	}
	return []desired.Notice{{Subject: cmp.Or(p.Path, "kubelet's config.json"), Message: message}}
}

// chooseLogins finds the logins for the file, and the reasons why others are left out.
func (p *ConfigJSONPlan) chooseLogins(cfg *config.Config, provider *credprovider.Provider) {
	hosts, notices := desired.KubeletLogins(cfg, p.states.Containerd)
	p.Notices = append(p.Notices, notices...)
	for _, host := range hosts {
		login, err := provider.RegistryLogin(host)
		if err == nil && login.FromHelper() { // the rules hold no answer of a credential helper
			login, _ = p.states.Containerd.Login(host)
		}
		switch {
		case err == nil && login.Missing():
			p.Notices = append(p.Notices, desired.Notice{Subject: host,
				Message: "its login is not in kubelet's config.json: its " + login.Source() + " has given none yet"})
		case errors.Is(err, credprovider.ErrNotServed):
		case err != nil:
			p.Notices = append(p.Notices, desired.Notice{Subject: host, Message: "its login is not in kubelet's config.json: " + err.Error()})
		default:
			p.Hosts = append(p.Hosts, host)
			p.logins = append(p.logins, kubeletauths.Login{Host: host, Username: login.Username, Password: login.Password})
		}
	}
	if len(p.logins) == 0 {
		p.Why = NoLogin
		if len(p.Notices) > 0 {
			p.Why = "every login that needs it is left out"
		}
	}
}

// files returns the file that holds the logins.
func (p *ConfigJSONPlan) files() ([]managedfile.File, error) {
	body, err := kubeletauths.Encode(p.logins)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	return []managedfile.File{{Path: p.Path, Body: body, Mode: 0o600}}, nil
}

// reason is the reason of a change with what it means for kubelet.
func (p *ConfigJSONPlan) reason(c managedfile.Change) string {
	effect := ""
	switch {
	case c.Action == managedfile.Remove:
		effect = "kubelet forgets its logins within five minutes"
	case hostsconf.Writes(c):
		effect = fmt.Sprintf("login of %s; %s", strings.Join(p.Hosts, ", "), UsedWithin)
	case c.Action == managedfile.Conflict && c.Before.Owner == managedfile.Foreign:
		effect = "kubelet reads it first; name its logins in dockerConfigFile, then remove it"
	}
	return strings.TrimPrefix(strings.TrimSuffix(c.Reason+"; "+effect, "; "), "; ")
}

// ownConfigJSON returns the config.json in the record, nil without one.
func (n *Node) ownConfigJSON() (*managedfile.Observed, error) {
	snapshot, err := n.Store.Observe(configJSONScope, nil)
	if err != nil {
		return nil, err
	}
	for i, o := range snapshot.Files {
		if o.Owner == managedfile.Ours || o.Owner == managedfile.Edited {
			return &snapshot.Files[i], nil
		}
	}
	return nil, nil
}

// presentFiles returns rules with the digests of the hosts.toml files before and after the changes of
// a plan: the files on the node are those of before.
func presentFiles(rules, transition credprovider.Rules, plan Plan) credprovider.Rules {
	var absent []string
	for _, c := range plan.containerd().Changes {
		if c.Action == managedfile.Create {
			absent = append(absent, hostsconf.Upstream(c.Path))
		}
	}
	rules.Directories = desired.WithFiles(rules.Directories, transition.Directories, absent)
	return rules
}

// reduceConfigJSON removes from kubelet's config.json, before hosts.toml files change, each login that
// kubelet may not pass both before and after.
func (n *Node) reduceConfigJSON(ctx context.Context, cfg *config.Config, result *Result, transition credprovider.Rules) error {
	own, err := n.ownConfigJSON()
	if err != nil || own == nil {
		return err
	}
	return n.writeConfigJSON(ctx, cfg, result, presentFiles(transition, transition, result.Plan))
}

// writeConfigJSON makes kubelet's config.json as rules allow.
func (n *Node) writeConfigJSON(ctx context.Context, cfg *config.Config, result *Result, rules credprovider.Rules) error {
	p, err := n.configJSON(cfg, result.Plan.ConfigJSON.states, rules)
	if err != nil {
		return err
	}
	return n.applyConfigJSON(ctx, result, p.Changes)
}

// applyConfigJSON carries out changes of kubelet's config.json.
func (n *Node) applyConfigJSON(ctx context.Context, result *Result, changes []managedfile.Change) error {
	if len(changes) == 0 {
		return nil
	}
	report, err := n.Store.Apply(ctx, configJSONScope, changes)
	if errors.Is(err, unix.EROFS) {
		err = fmt.Errorf("%w; the service berth needs ReadWritePaths= for kubelet's root directory, see %s", err, docs.URL("bare-metal.md#logins-for-kubelet"))
	}
	for _, c := range report.Conflicts { // it may be written twice
		result.Report.Conflicts = slices.DeleteFunc(result.Report.Conflicts, func(o managedfile.Change) bool { return o.Path == c.Path })
	}
	result.Report.Add(report)
	return err
}

// removeConfigJSON removes kubelet's config.json when nothing can be recorded and it holds a login
// that it must not hold any more.
func (n *Node) removeConfigJSON(ctx context.Context, result *Result) error {
	own, err := n.ownConfigJSON()
	if err != nil || own == nil || own.Owner != managedfile.Ours || own.Kind != nodefs.Regular {
		return err
	}
	have, err := kubeletauths.Parse(kubeletauths.ConfigJSON, own.Content)
	if err != nil {
		return nil // it holds nothing for kubelet
	}
	if !slices.ContainsFunc(have, func(l kubeletauths.Login) bool { return !slices.Contains(result.Plan.ConfigJSON.logins, l) }) {
		return nil
	}
	report, err := n.Store.ApplyUnrecorded(ctx, configJSONScope, []managedfile.Change{{
		Action: managedfile.Remove, Path: own.Path, Before: *own, Reason: reasonSecretRemoved,
	}})
	result.Report.Add(report)
	return err
}

// ConfigJSONFiles returns the files to watch to follow what kubelet reads; none if logins are not
// written there.
func (s States) ConfigJSONFiles() []string { return s.kubelet.Places }

// ConfigJSON returns the plan for kubelet's config.json on the node of h. Nothing is written.
func ConfigJSON(ctx context.Context, m node.Machine, cfg *config.Config) (ConfigJSONPlan, error) {
	store, err := managedfile.Open(m.Root, StateDir)
	if err != nil {
		return ConfigJSONPlan{}, err
	}
	n := &Node{Root: m.Root, Store: store, Machine: m}
	learned, err := n.Learned()
	if err != nil {
		return ConfigJSONPlan{}, err
	}
	in, err := n.Inputs(ctx, cfg, learned.Facts)
	if err != nil {
		return ConfigJSONPlan{}, err
	}
	plan, err := n.plan(cfg, in.Compute(cfg))
	return plan.ConfigJSON, err
}

// ConfigJSONFile returns the path of kubelet's config.json if Berth wrote it, "" if not.
func (n *Node) ConfigJSONFile() (string, error) {
	own, err := n.ownConfigJSON()
	if err != nil || own == nil || own.Kind != nodefs.Regular {
		return "", err
	}
	return own.Path, nil
}

// ConfigJSONLogin returns the login that kubelet takes for an image from the config.json that Berth
// wrote, and the path of that file; "" without one.
func (n *Node) ConfigJSONLogin(image string) (login kubeletauths.Login, file string, err error) {
	img, err := credprovider.ParseImage(image)
	if err != nil {
		return login, "", err
	}
	if file, err = n.ConfigJSONFile(); err != nil || file == "" {
		return login, "", err
	}
	for _, l := range node.ReadKubeletLogins(n.Root, file) {
		if l.Host == dockerhub.Canonical(img.Registry) {
			return l, file, nil
		}
	}
	return login, "", nil
}
