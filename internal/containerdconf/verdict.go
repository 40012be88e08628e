package containerdconf

// Assessment says whether containerd will honour hosts.toml files.
type Assessment struct {
	// Release is what the verdict was made for. When the version is not known
	// it is the first release that would not honour them, or the newest.
	Release Release
	// Honoured says that pulls of the CRI read hosts.toml files below CertsDir,
	// once containerd runs with these files.
	Honoured bool
	// CertsDir is the directory, the first when config_path lists several.
	CertsDir string
	// ConfigPath is the value in effect, containerd's default included.
	ConfigPath string
	// Default says that no file sets ConfigPath.
	Default bool
	// LocalPull names the setting for which containerd 2.1 and later pull in
	// the CRI plugin itself and not through the transfer service; "" when they
	// do not, or have no choice.
	LocalPull string
	// Traps are what to know and to do, those that are in the way first.
	Issues []Issue
}

// Issue is something in the configuration that keeps hosts.toml files from being
// honoured, or will one day.
type Issue struct {
	ID IssueID
	// Blocking says that they are not honoured because of it.
	Blocking bool
	// Where is file:line:column, or a file.
	Where string
	// Detail says what is wrong, and Remedy what to do.
	Detail, Remedy string
}

// IssueID names a kind of trap.
type IssueID string

// The traps.
const (
	TrapUnreadable     IssueID = "unreadable"        // a file cannot be read, or is no TOML
	TrapImportMissing  IssueID = "import-missing"    // imports names a file that is not there
	TrapVersion        IssueID = "version"           // the version line is not one that containerd reads
	TrapImportVersion  IssueID = "import-version"    // version lines that do not fit together
	TrapImportReplaces IssueID = "import-replaces"   // 1.x: an import replaces the CRI plugin's settings
	TrapCRIDisabled    IssueID = "cri-disabled"      // the CRI plugin is switched off
	TrapUnset          IssueID = "config-path-unset" // nothing names a directory
	TrapList           IssueID = "config-path-list"  // several directories, ignored with the transfer service
	TrapRelative       IssueID = "config-path-relative"
	TrapType           IssueID = "config-path-type"
	TrapWrongTable     IssueID = "wrong-table" // config_path stands where containerd does not look
	TrapMirrors        IssueID = "mirrors"     // registry.mirrors instead of config_path
	TrapMirrorsBeside  IssueID = "mirrors-beside-config-path"
	TrapRuntime        IssueID = "default-runtime" // 1.x: the default runtime is not among the runtimes
	TrapTLS            IssueID = "configs-tls"     // 1.x: registry.configs.….tls beside config_path
	TrapLocalPull      IssueID = "local-pull"      // a setting that keeps pulls away from the transfer service
	TrapUnsupported    IssueID = "unsupported"     // containerd older than 1.6
	TrapUnknownRelease IssueID = "version-unknown"
)
