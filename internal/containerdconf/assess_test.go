package containerdconf_test

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// TestIssues pins the text of each issue and its remedy. The corpus in package node covers more
// forms, without the text.
func TestIssues(t *testing.T) {
	const images, cri = "[plugins.\"io.containerd.cri.v1.images\"", "[plugins.\"io.containerd.grpc.v1.cri\""
	for _, test := range []struct {
		name, version string
		files         files
		id            containerdconf.IssueID
		blocking      bool
		where         string
		says, do      string
	}{
		{
			"unset", "1.7.28", files{main: "version = 2\n"}, containerdconf.IssueUnset, true, main,
			"config_path is not set", "berth install --containerd",
		},
		{
			"unset because there is no file", "2.1.5", files{}, containerdconf.IssueUnset, true, main,
			"config_path is not set", "berth install --containerd",
		},
		{
			"the pair by default", "2.4.2", files{main: "version = 3\n"}, containerdconf.IssueList, true, main,
			"the default of containerd 2.4 lists two directories (/etc/containerd/certs.d:/etc/docker/certs.d), which its transfer service silently ignores", "sets one directory",
		},
		{
			"the pair, and local pull", "2.4.2", files{main: "version = 3\n" + images + "]\nuse_local_image_pull = true\n"}, containerdconf.IssueList, false, main,
			"works only while use_local_image_pull disables the transfer service", "set config_path to one directory",
		},
		{
			"a list before an upgrade", "1.7.28", files{main: "version = 2\n" + cri + ".registry]\nconfig_path = \"/a:/b\"\n"}, containerdconf.IssueList, false, main + ":3:1",
			"lists several directories (/a:/b), which containerd 2.1 and later ignore", "before an upgrade",
		},
		{
			"mirrors instead", "1.7.28", files{main: "version = 2\n" + cri + ".registry.mirrors.\"a\"]\n"}, containerdconf.IssueMirrors, true, main + ":2:47",
			"config_path is not set", "berth convert --from containerd",
		},
		{
			"mirrors beside", "2.4.2", files{main: "version = 3\n" + images + ".registry]\nconfig_path = \"/a\"\nmirrors.a.endpoint = [\"x\"]\n"}, containerdconf.IssueMirrorsBeside, true, main + ":4:1",
			"the CRI plugin does not load", "berth convert --from containerd",
		},
		{
			"tls beside", "1.7.28", files{main: "version = 2\n" + cri + ".registry]\nconfig_path = \"/a\"\nconfigs.a.tls.ca_file = \"x\"\n"}, containerdconf.IssueTLS, true, main + ":4:1",
			"the CRI plugin does not load", "certificates",
		},
		{
			"auths", "2.4.2", files{main: "version = 3\n" + images + ".registry]\nconfig_path = \"/a\"\nauths.a.password = \"not-a-secret\"\n"}, containerdconf.IssueLocalPull, false, main + ":4:1",
			"registry.auths is deprecated", "remove it",
		},
		{
			"an import that replaces", "1.7.28", files{
				main:      "version = 2\nimports = [\"/x.toml\"]\n" + cri + ".registry]\nconfig_path = \"/a\"\n",
				"/x.toml": "version = 2\n" + cri + "]\nsandbox_image = \"p\"\n",
			}, containerdconf.IssueImportReplaces, true, "/x.toml:2:10", "ignores the one in " + main + " (SystemdCgroup, sandbox_image and others); config_path is among the ignored settings", "sets config_path in this file",
		},
		{
			"an import that replaces other things", "1.6.20", files{
				main:      "version = 2\nimports = [\"/x.toml\"]\n" + cri + "]\nsandbox_image = \"p\"\n",
				"/x.toml": "version = 2\n" + cri + ".registry]\nconfig_path = \"/a\"\n",
			}, containerdconf.IssueImportReplaces, false, "/x.toml:2:10", "ignores the one in " + main, "into this file",
		},
		{
			"an import that is newer", "2.3.4", files{main: "version = 2\nimports = [\"/x.toml\"]\n", "/x.toml": "version = 3\n"},
			containerdconf.IssueImportVersion, true, "/x.toml:1:1", "version 3 under a main file of version 2", "migrate /x.toml to version 2",
		},
		{
			"an import of version 2 under one of version 1", "1.7.28", files{main: "imports = [\"/x.toml\"]\n[plugins.cri]\nsandbox_image = \"p\"\n", "/x.toml": "version = 2\n"},
			containerdconf.IssueVersion, true, main + ":2:10", "does not start", "the same version line",
		},
		{
			"disabled by a short name", "1.7.28", files{main: "version = 2\ndisabled_plugins = [\"cri\"]\n"}, containerdconf.IssueVersion, true, main + ":2:1",
			"only full names", "full name",
		},
		{
			"disabled", "2.4.2", files{main: "version = 3\ndisabled_plugins = [\"io.containerd.transfer.v1.local\"]\n"}, containerdconf.IssueCRIDisabled, true, main + ":2:1",
			"kubelet has no CRI", "remove it from disabled_plugins",
		},
		{
			"no version line in 2.0", "2.0.7", files{main: "[plugins.cri.registry]\nconfig_path = \"/a\"\n"}, containerdconf.IssueWrongTable, true, main + ":2:1",
			"which containerd 2.0.7 does not read", `set it in plugins."io.containerd.cri.v1.images".registry`,
		},
		{
			"no default runtime", "1.6.20", files{main: "version = 2\n" + cri + ".registry]\nconfig_path = \"/a\"\n" + cri + ".containerd.runtimes.nvidia]\nruntime_type = \"x\"\n"},
			containerdconf.IssueRuntime, true, main + ":4:49", `"runc" is not among the runtimes`, "to the runtimes in the same file",
		},
		{
			"an import that is gone", "2.4.2", files{main: "imports = [\"/x.toml\"]\n"}, containerdconf.IssueImportMissing, true, "/x.toml",
			main + " imports this file", "remove the name from imports",
		},
		{
			"no TOML", "2.4.2", files{main: "version = 3\nroot = secret\n"}, containerdconf.IssueUnreadable, true, main + ":2:8",
			"is not valid TOML", "fix the file",
		},
		{
			"the version in quotes", "2.4.2", files{main: "version = \"3\"\n"}, containerdconf.IssueUnreadable, true, main + ":1:1",
			"is not a number", "fix the file",
		},
		{
			"older than 1.6", "1.5.18", files{main: "version = 2\n"}, containerdconf.IssueUnsupported, true, main, "older than 1.6", "upgrade",
		},
		{
			"of unknown version", "", files{main: "version = 2\n" + cri + ".registry]\nconfig_path = \"/a\"\n"}, containerdconf.IssueUnknownRelease, false, main,
			"this result is for containerd 2.4.2", "containerd --version",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := release(t, test.version)
			v := containerdconf.Assess(containerdconf.Load(main, r, test.files), r)
			for _, issue := range v.Issues {
				if strings.Contains(issue.Detail+issue.Remedy, "secret") {
					t.Errorf("a value is shown: %+v", issue)
				}
				if issue.ID != test.id {
					continue
				}
				if issue.Blocking != test.blocking || v.Honoured == test.blocking || issue.Where != test.where ||
					!strings.Contains(issue.Detail, test.says) || !strings.Contains(issue.Remedy, test.do) {
					t.Errorf("honoured %v, %+v", v.Honoured, issue)
				}
				if v.Honoured == (v.CertsDir == "") {
					t.Errorf("honoured %v with %q", v.Honoured, v.CertsDir)
				}
				return
			}
			t.Errorf("not found: %+v", v)
		})
	}
}
