package containerdconf

// Verdict says whether containerd will honour hosts.toml files.
type Verdict struct {
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
	Traps []Trap
}

// Trap is something in the configuration that keeps hosts.toml files from being
// honoured, or will one day.
type Trap struct {
	ID TrapID
	// Blocking says that they are not honoured because of it.
	Blocking bool
	// Where is file:line:column, or a file.
	Where string
	// Detail says what is wrong, and Remedy what to do.
	Detail, Remedy string
}

// TrapID names a kind of trap.
type TrapID string

// The traps.
const (
	TrapUnreadable     TrapID = "unreadable"        // a file cannot be read, or is no TOML
	TrapImportMissing  TrapID = "import-missing"    // imports names a file that is not there
	TrapVersion        TrapID = "version"           // the version line is not one that containerd reads
	TrapImportVersion  TrapID = "import-version"    // version lines that do not fit together
	TrapImportReplaces TrapID = "import-replaces"   // 1.x: an import replaces the CRI plugin's settings
	TrapCRIDisabled    TrapID = "cri-disabled"      // the CRI plugin is switched off
	TrapUnset          TrapID = "config-path-unset" // nothing names a directory
	TrapList           TrapID = "config-path-list"  // several directories, ignored with the transfer service
	TrapRelative       TrapID = "config-path-relative"
	TrapType           TrapID = "config-path-type"
	TrapWrongTable     TrapID = "wrong-table" // config_path stands where containerd does not look
	TrapMirrors        TrapID = "mirrors"     // registry.mirrors instead of config_path
	TrapMirrorsBeside  TrapID = "mirrors-beside-config-path"
	TrapRuntime        TrapID = "default-runtime" // 1.x: the default runtime is not among the runtimes
	TrapTLS            TrapID = "configs-tls"     // 1.x: registry.configs.….tls beside config_path
	TrapLocalPull      TrapID = "local-pull"      // a setting that keeps pulls away from the transfer service
	TrapUnsupported    TrapID = "unsupported"     // containerd older than 1.6
	TrapUnknownRelease TrapID = "version-unknown"
)
