package config

import (
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

func (c *checker) ecr(s *location) {
	list := s.Field("credentials")
	if len(c.cfg.ECR.Credentials) == 0 {
		c.empty(list, "leave it out for the instance profile and then static keys")
		c.cfg.ECR.Credentials = defaultCredentials()
	} else {
		c.ecrCredentials(list, c.cfg.ECR.Credentials)
	}
	c.ecrRegistries(s.Field("registries"))
	c.cfg.ECR.ServiceAccount = c.serviceAccount(s.Field("serviceAccount"), c.cfg.ECR.ServiceAccount)
}

// registryChains checks the credential chains of single registries. It runs after
// ecrRegistries, so all ECR hosts are known.
func (c *checker) registryChains(list, ecrList *location) {
	var names ecr.Names
	for _, r := range c.cfg.ECR.Registries {
		names = append(names, ecr.Name{Host: r.Host, Account: r.Account, Region: r.Region})
	}
	type chain struct {
		registry ecr.Registry
		line     int
	}
	var chains []chain
	// add records the chain of a registry; each has one chain under all its names.
	add := func(s *location, registry ecr.Registry) {
		line, _ := s.Position()
		if at := slices.IndexFunc(chains, func(have chain) bool { return have.registry.Same(registry) }); at >= 0 {
			c.refuse(s, "the same ECR registry already has credentials on line %d; keep one of them", chains[at].line)
			return
		}
		chains = append(chains, chain{registry, line})
	}
	for i := range c.cfg.ECR.Registries {
		r, s := &c.cfg.ECR.Registries[i], ecrList.Item(i).Field("credentials")
		if s.Node == nil {
			continue
		}
		c.empty(s, "list instanceProfile: {}, static: {…} and sdk: {…} in the wanted order")
		c.ecrCredentials(s, r.Credentials)
		if registry, ok := names.Parse(r.Host); ok {
			add(s, registry)
		}
	}
	for i := range c.cfg.Registries {
		r := &c.cfg.Registries[i]
		if r.ECR == nil {
			continue
		}
		s := list.Item(i).Field("ecr")
		credentials, account := s.Field("credentials"), s.Field("serviceAccount")
		r.ECR.ServiceAccount = c.serviceAccount(account, r.ECR.ServiceAccount)
		if credentials.Unset() && (r.ECR.ServiceAccount != nil || c.broken[account.Node]) {
			// The chain of the section ecr is for pods without a role.
		} else if !c.require(credentials, "list instanceProfile: {}, static: {…} and sdk: {…} in the wanted order") {
			c.empty(credentials, "list instanceProfile: {}, static: {…} and sdk: {…} in the wanted order")
			c.ecrCredentials(credentials, r.ECR.Credentials)
		}
		host, path, _ := strings.Cut(r.Host, "/")
		registry, isECR := names.Parse(host)
		switch {
		case path != "":
			c.refuse(s, "is for a whole ECR registry; write its host without the path")
		case !isECR:
			c.refuse(s, "is for ECR registries; remove it, or name this host under ecr.registries with account and region")
		case r.HasLogin():
			c.refuse(s, "is given together with username; keep one of them")
		case len(r.ECR.Credentials) > 0:
			add(s, registry)
		}
	}
}

func (c *checker) ecrCredentials(list *location, credentials []ECRCredential) {
	profileLine := 0
	for i := range credentials {
		e, s := &credentials[i], list.Item(i)
		profile, static, sdk := s.Field("instanceProfile"), s.Field("static"), s.Field("sdk")
		given, named := 0, 0
		for _, f := range []struct {
			at    *location
			given bool
		}{{profile, e.InstanceProfile != nil}, {static, e.Static != nil}, {sdk, e.SDK != nil}} {
			if f.at.Node != nil {
				named++
			}
			if f.given {
				given++
			}
		}
		// A "- static:" without a value is an empty section; it means that section's defaults.
		if given == 0 && named == 1 {
			given = 1
			switch {
			case profile.Node != nil:
				e.InstanceProfile = &InstanceProfile{}
			case static.Node != nil:
				e.Static = &StaticKeys{}
			default:
				e.SDK = &SDKCredentials{}
			}
		}
		switch {
		case given > 1:
			c.refuse(s, "has more than one of instanceProfile, static and sdk; write an item for each, in the wanted order")
		case given == 0 && !hasUnknown(s.Node):
			c.refuse(s, "must be instanceProfile: {}, static: {…} or sdk: {…}")
		case e.InstanceProfile != nil && profileLine > 0:
			c.refuse(profile, "is already listed on line %d; there is only one", profileLine)
		case e.InstanceProfile != nil:
			profileLine, _ = profile.Position()
		}
		if e.Static != nil {
			c.staticKeys(static, e.Static)
		}
		if e.SDK != nil {
			c.sdkCredentials(sdk, e.SDK)
		}
	}
}

// hasUnknown reports whether an item has an unknown field, which is already reported. An item
// without any field is a different error.
func hasUnknown(item *yaml.Node) bool {
	if item == nil {
		return false
	}
	for i := 0; i < len(item.Content); i += 2 {
		if name := item.Content[i].Value; name != "instanceProfile" && name != "static" && name != "sdk" {
			return true
		}
	}
	return false
}

func (c *checker) sdkCredentials(s *location, k *SDKCredentials) {
	if hasControl(k.Profile) {
		c.reject(s.Field("profile"), k.Profile, "must not contain control characters")
	}
	for _, f := range []struct {
		name string
		path *string
	}{{"configFile", &k.ConfigFile}, {"credentialsFile", &k.CredentialsFile}} {
		switch at := s.Field(f.name); {
		case *f.path == "":
		case hasControl(*f.path):
			c.refuse(at, "must be the path of a file")
		case k.Profile == "":
			c.refuse(at, "is given without profile; add the profile to use, such as default")
		default:
			*f.path, _ = c.files.locate(*f.path)
		}
	}
}

func (c *checker) staticKeys(s *location, k *StaticKeys) {
	id := c.key(s, "accessKeyID", &k.AccessKeyID, &k.AccessKeyIDFile, false)
	secret := c.key(s, "secretAccessKey", &k.SecretAccessKey, &k.SecretAccessKeyFile, true)
	token := c.key(s, "sessionToken", &k.SessionToken, &k.SessionTokenFile, true)
	shared, profile := s.Field("sharedCredentialsFile"), s.Field("profile")
	switch {
	case !shared.Unset() && (id != nil || secret != nil || token != nil):
		c.refuse(shared, "is given together with keys; keep one of them")
	case id != nil && secret == nil:
		c.refuse(id, "is given without secretAccessKey; add it, or secretAccessKeyFile")
	case id == nil && secret != nil:
		c.refuse(secret, "is given without accessKeyID; add it, or accessKeyIDFile")
	case id == nil && token != nil:
		c.refuse(token, "is given without accessKeyID and secretAccessKey; add them")
	}
	if !profile.Unset() && shared.Unset() {
		c.reject(profile, k.Profile, "is given without sharedCredentialsFile; add it")
	}
	if hasControl(k.Profile) {
		c.reject(profile, k.Profile, "must not contain control characters")
	}
	if k.SharedCredentialsFile != "" {
		// The AWS SDK reads the file again whenever it needs keys.
		if data, ok := c.read(shared, &k.SharedCredentialsFile, maxPEMSize, true); ok && len(data) == 0 {
			c.reject(shared, k.SharedCredentialsFile, "is empty; write a [default] section into it")
		}
	}
	if k.RoleARN != "" && !ecr.IsRoleARN(k.RoleARN) {
		c.reject(s.Field("roleARN"), k.RoleARN, "must have the form arn:aws:iam::111122223333:role/NAME")
	}
}

// key checks one of the three keys, given inline or as a file. It returns its location, or nil if
// it is not given. The key ID alone gives no access, so an inline one brings no warning.
func (c *checker) key(s *location, name string, value *redact.Secret, file *string, secret bool) *location {
	inline, inFile := s.Field(name), s.Field(name+"File")
	switch {
	case !inline.Unset() && !inFile.Unset():
		c.refuse(inFile, "is given together with %s; keep one of them", name)
		return inFile
	case !inline.Unset():
		if strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r <= ' ' || r > 0x7e }) {
			c.refuse(inline, "must not contain spaces, control characters or letters beyond ASCII")
		}
		if secret {
			c.inline(inline, name+"File")
		}
		return inline
	case !inFile.Unset():
		if *file != "" {
			*value = c.secretFile(inFile, file, hasControl)
		}
		return inFile
	}
	return nil
}

func (c *checker) ecrRegistries(list *location) {
	seen := make(map[string]int, len(c.cfg.ECR.Registries))
	for i := range c.cfg.ECR.Registries {
		r, s := &c.cfg.ECR.Registries[i], list.Item(i)
		if at := s.Field("host"); !c.require(at, "write the other name of the registry, such as images.corp") {
			name, err := hostport.Parse(r.Host)
			line, _ := at.Position()
			key := hostport.TrimDefaultPort(name, "https")
			switch first, twice := seen[key]; {
			case err != nil:
				c.badName(at, r.Host, err)
			case twice:
				c.reject(at, name, "already has an entry on line %d; keep one of them", first)
			default:
				r.Host, seen[key] = name, line
			}
		}
		if at := s.Field("account"); !c.require(at, `write the 12 digits of the AWS account, in quotes`) && !isAccount(r.Account) {
			c.reject(at, r.Account, "must be the 12 digits of an AWS account")
		}
		if at := s.Field("region"); !c.require(at, "write the AWS region, such as us-east-1") && !isRegion(r.Region) {
			c.reject(at, r.Region, "must be an AWS region such as us-east-1")
		}
	}
}

func isAccount(s string) bool { return len(s) == 12 && isDigits(s) }

// isRegion checks only the form: AWS adds regions.
func isRegion(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || !isDigits(parts[len(parts)-1]) {
		return false
	}
	for _, part := range parts[:len(parts)-1] {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
