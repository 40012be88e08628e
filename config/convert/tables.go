package convert

// tables is a draft with what is read from the tables mirrors, configs and auths.
type tables struct {
	*Draft
	version    int             // of containerd's config.toml
	direct     map[string]bool // upstreams that are asked directly, without "*"
	configured map[string]bool // registries named in configs
	authed     map[string]bool // registries named in auths
	// mentionsHub says that the input names docker.io outside configs.
	mentionsHub bool
	noEffect    string // reason why no setting of the input had an effect
}

func newTables(d *Draft) *tables {
	return &tables{Draft: d, direct: map[string]bool{}, configured: map[string]bool{}, authed: map[string]bool{}}
}
