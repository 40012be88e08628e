package containerdconf

// Assessment says whether containerd will honour hosts.toml files.
type Assessment struct {
	// Release is the assessed release. If the version is unknown it is the first release that
	// would not honour hosts.toml files, or the newest.
	Release Release
	// Honoured says that CRI pulls read hosts.toml files below CertsDir once containerd runs
	// with these files.
	Honoured bool
	// CertsDir is the directory; the first one if config_path lists several.
	CertsDir string
	// ConfigPath is the effective value, which may be containerd's default.
	ConfigPath string
	// Default says that no file sets ConfigPath.
	Default bool
	// LocalPull names the setting that makes containerd 2.1 and later pull in the CRI plugin
	// instead of the transfer service; "" if there is none, or no choice.
	LocalPull string
	// Issues are the problems and their remedies, blocking ones first.
	Issues []Issue
}

// Issue is a setting that keeps containerd from honouring hosts.toml files, or will do so after an
// upgrade.
type Issue struct {
	ID IssueID
	// Blocking says that containerd does not honour hosts.toml files because of it.
	Blocking bool
	// Where is file:line:column, or a file.
	Where string
	// Detail is the fault, Remedy what to do.
	Detail, Remedy string
}

// IssueID identifies a kind of issue.
type IssueID string

// The kinds of issues.
const (
	IssueUnreadable     IssueID = "unreadable"        // a file cannot be read, or is not TOML
	IssueImportMissing  IssueID = "import-missing"    // imports names a missing file
	IssueVersion        IssueID = "version"           // containerd does not read this version
	IssueImportVersion  IssueID = "import-version"    // version lines of several files conflict
	IssueImportReplaces IssueID = "import-replaces"   // 1.x: an import replaces the CRI plugin's settings
	IssueCRIDisabled    IssueID = "cri-disabled"      // the CRI plugin is disabled
	IssueUnset          IssueID = "config-path-unset" // no directory is configured
	IssueList           IssueID = "config-path-list"  // several directories, which the transfer service ignores
	IssueRelative       IssueID = "config-path-relative"
	IssueType           IssueID = "config-path-type"
	IssueWrongTable     IssueID = "wrong-table" // config_path is in a table that containerd does not read
	IssueMirrors        IssueID = "mirrors"     // registry.mirrors instead of config_path
	IssueMirrorsBeside  IssueID = "mirrors-beside-config-path"
	IssueRuntime        IssueID = "default-runtime" // 1.x: the default runtime is not among the runtimes
	IssueTLS            IssueID = "configs-tls"     // 1.x: registry.configs.….tls beside config_path
	IssueLocalPull      IssueID = "local-pull"      // a setting disables the transfer service for pulls
	IssueUnsupported    IssueID = "unsupported"     // containerd older than 1.6
	IssueUnknownRelease IssueID = "version-unknown"
)
