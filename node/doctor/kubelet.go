package doctor

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/providerconfig"
)

// kubelet checks kubelet's credential providers. kubelet does not start with an invalid
// configuration, or if the program of a provider is missing.
func (e *examination) kubelet(ctx context.Context) {
	const name = "kubelet"
	k, found, err := node.FindKubelet(e.Machine)
	switch {
	case err != nil:
		e.add(name, Warn, err.Error(), "run this as root")
		return
	case !found:
		k = e.builtInKubelet()
		if k.ProviderConfig == "" {
			e.add(name, OK, "no kubelet was found here; credentials in headers do not need it", "")
			return
		}
	case k.ProviderConfig == "" && k.ProviderDir == "":
		if k.UnitNamesProvider(e.Machine) {
			e.add(name, Warn, "kubelet was started before its unit named a credential provider", node.Restart(k.Unit, "kubelet"))
			return
		}
		if lacks := e.unasked(nil); len(lacks) > 0 {
			e.add(name, Warn, fmt.Sprintf("kubelet has no credential provider, and the login of %s does not fit into a header: images from there are pulled without it", strings.Join(lacks, ", ")),
				e.installKubelet(ctx, "run berth install --kubelet"))
			return
		}
		if e.podTokens(ctx, k, nil) {
			return
		}
		e.add(name, OK, "kubelet has no credential provider; credentials in headers need none", "")
		return
	case k.ProviderConfig == "" || k.ProviderDir == "":
		e.add(name, Fail, "kubelet has one of the flags --image-credential-provider-config and --image-credential-provider-bin-dir, and needs both", "set both flags, or none")
		return
	}
	providers, err := node.ReadProviders(e.Machine.Root, k.ProviderConfig)
	if err != nil {
		e.add(name, Fail, err.Error(), "fix it; kubelet does not start with it")
		return
	}
	if changed := k.ChangedSince(e.Machine); len(changed) > 0 {
		e.add(name, Warn, fmt.Sprintf("%s was changed after kubelet was started, and is read only then; what is reported here may not be in effect",
			strings.Join(changed, ", ")), node.Restart(k.Unit, "kubelet"))
	}
	var programs []string
	for _, p := range providers {
		program := p.Name
		programs = append(programs, program)
		file := path.Join(k.ProviderDir, program)
		real, err := e.Machine.Root.Resolve(file)
		if err == nil {
			var info os.FileInfo
			if info, err = os.Stat(real); err == nil && info.Mode()&0o111 == 0 {
				err = fmt.Errorf("has mode %04o, which is not executable", info.Mode().Perm())
			}
		}
		if err != nil {
			e.add(name, Fail, fmt.Sprintf("%s names the provider %s, and %s: %v", k.ProviderConfig, program, file, errText(err)), "put the program there before kubelet is restarted; without it kubelet does not start")
			return
		}
	}
	if lacks := e.unasked(providers); len(lacks) > 0 {
		e.add(name, Warn, fmt.Sprintf("kubelet does not ask %s about %s by %s, and the login of the config does not fit into a header", providerconfig.Provider, strings.Join(lacks, ", "), k.ProviderConfig),
			e.installKubelet(ctx, "run berth install --kubelet, or add it to matchImages of that entry and restart kubelet"))
		return
	}
	if slices.Contains(programs, providerconfig.Provider) {
		if fault := e.fetcher(ctx, k.ProviderDir); fault != "" {
			e.add(name, Warn, fault, e.installKubelet(ctx, "run berth install --kubelet, or copy both programs there from one release"))
			return
		}
		if e.podTokens(ctx, k, providers) {
			return
		}
		detail := fmt.Sprintf("kubelet asks %s, by %s", providerconfig.Provider, k.ProviderConfig)
		if passes, _ := providerconfig.PassesTokens(providers, providerconfig.Provider, nil); passes && !e.podRoles() {
			detail += "; it passes tokens of service accounts, so pods without a role get no credential for ECR"
		}
		e.add(name, OK, detail, "")
		return
	}
	if e.podTokens(ctx, k, providers) {
		return
	}
	e.add(name, OK, fmt.Sprintf("kubelet asks %s by %s, and not Berth; credentials in headers do not need it", strings.Join(programs, ", "), k.ProviderConfig), "")
}

// podRoles reports whether the config has registries that are pulled from with the pod's own role.
func (e *examination) podRoles() bool {
	return e.Config != nil && slices.ContainsFunc(e.Config.ECRNames(), func(n ecr.Name) bool { return n.ServiceAccount.On() })
}

// podTokens adds a finding if the config needs tokens of service accounts that kubelet does not pass,
// and reports whether it did.
func (e *examination) podTokens(ctx context.Context, k node.Kubelet, providers []providerconfig.Entry) bool {
	if !e.podRoles() {
		return false
	}
	passes, lacks := providerconfig.PassesTokens(providers, providerconfig.Provider, e.Config.RoleAnnotations())
	if passes && len(lacks) == 0 {
		return false
	}
	detail := "kubelet passes no token of the pod's service account to " + providerconfig.Provider
	effect := "; the config has serviceAccount, and no pod pulls with its own role"
	if passes {
		detail = fmt.Sprintf("kubelet passes tokens of service accounts to %s without the annotation %s", providerconfig.Provider, strings.Join(lacks, ", "))
		effect = "; a role in it is not used"
	}
	if k.ProviderConfig != "" {
		detail += ", by " + k.ProviderConfig
	}
	remedy := e.installKubelet(ctx, "run berth install --kubelet --service-account-tokens; with the chart's provider set provider.serviceAccountTokens: true")
	if minor, ok := k.Minor(ctx, e.Machine); ok && minor < providerconfig.TokensSince {
		remedy = fmt.Sprintf("update kubelet, which is of release 1.%d, to 1.%d, or remove serviceAccount from the config", minor, providerconfig.TokensSince)
	}
	e.add("kubelet", Warn, detail+effect, remedy)
	return true
}

// fetcher returns what is wrong with the program that the provider in dir starts to ask AWS; "" if it
// is there and of the provider's version, or no version is known.
func (e *examination) fetcher(ctx context.Context, dir string) string {
	versions := map[string]string{}
	for _, name := range providerconfig.Programs() {
		file := path.Join(dir, name)
		real, err := e.Machine.Root.Resolve(file)
		if err == nil {
			_, err = os.Stat(real)
		}
		if err != nil {
			return fmt.Sprintf("%s: %s; %s of this release starts it to ask AWS", file, errText(err), providerconfig.Provider)
		}
		if e.Machine.Version == nil {
			continue
		}
		output, err := e.Machine.Version(ctx, real)
		if err != nil {
			return fmt.Sprintf("%s --version: %v", file, err)
		}
		versions[name] = strings.TrimPrefix(strings.TrimSpace(output), name+" ")
	}
	provider, fetcher := versions[providerconfig.Provider], versions[providerconfig.Fetcher]
	if provider == fetcher {
		return ""
	}
	return fmt.Sprintf("%s in %s is of version %s, and %s beside it of version %s; kubelet gets no new ECR token",
		providerconfig.Provider, dir, provider, providerconfig.Fetcher, fetcher)
}

// installKubelet returns the advice to run install, or the reason why install would refuse.
func (e *examination) installKubelet(ctx context.Context, advice string) string {
	if e.InstallKubelet != nil {
		if err := e.InstallKubelet(ctx); err != nil {
			return err.Error()
		}
	}
	return advice
}

// unasked lists the registries of the config whose login only kubelet can pass, and about which
// kubelet does not ask Berth's provider.
func (e *examination) unasked(providers []providerconfig.Entry) []string {
	if e.Config == nil {
		return nil
	}
	return slices.DeleteFunc(desired.KubeletImages(e.Config, e.inputs), func(image string) bool {
		return slices.Contains(e.fileLogins, dockerhub.Canonical(image)) || providerconfig.Asks(providers, providerconfig.Provider, image)
	})
}

func errText(err error) string {
	if isNotExist(err) {
		return "is missing"
	}
	return err.Error()
}

// builtInKubelet is the kubelet inside k3s and RKE2, which reads providers from a fixed directory
// without a flag.
func (e *examination) builtInKubelet() node.Kubelet {
	const dir = "/var/lib/rancher/credentialprovider"
	k := node.Kubelet{ProviderConfig: dir + "/config.yaml", ProviderDir: dir + "/bin"}
	if _, err := e.Machine.Root.Lstat(k.ProviderConfig); err != nil || e.engine.Layout != node.K3s && e.engine.Layout != node.RKE2 {
		return node.Kubelet{}
	}
	return k
}
