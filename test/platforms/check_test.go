package platforms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/pelletier/go-toml/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/test/nodefiles"
	"github.com/berth-registry/berth/test/walkthrough"
)

// checker checks the blocks of a page.
type checker struct {
	// help returns what "berth VERB --help" prints.
	help func(verb string) (string, error)
	// scratch is a directory for files that are read by a path.
	scratch string
}

// block checks a fenced block. The error names each fault.
func (c checker) block(b walkthrough.Block) error {
	language, words, _ := strings.Cut(b.Info, " ")
	switch language {
	case "yaml":
		return c.yaml(b.Text, words)
	case "json":
		var v any
		if err := json.Unmarshal([]byte(b.Text), &v); err != nil {
			return err
		}
		return c.yaml(b.Text, "json") // it finds a key that is there twice
	case "toml":
		return c.toml(b.Text)
	case "hcl":
		return c.hcl(b.Text)
	case "sh":
		return c.shell(b.Text)
	case "ini":
		_, err := unit.DeserializeOptions(strings.NewReader(b.Text))
		return err
	case "mime":
		return c.mime(b.Text)
	case "text":
		return nil
	}
	return fmt.Errorf("a block of the language %q: write yaml, json, toml, hcl, sh, ini, mime or text", b.Info)
}

// inside checks a text of a block that is itself a file.
func (c checker) inside(text string) error {
	switch {
	case strings.HasPrefix(text, "#!"):
		return c.shell(text)
	case strings.HasPrefix(text, "MIME-Version:"):
		return c.mime(text)
	case strings.HasPrefix(text, "#cloud-config\n"), strings.Contains(text, "kind: RegistryConfig"):
		return c.yaml(text, "")
	case strings.Contains(text, "[plugins.") || strings.Contains(text, "[settings."):
		return c.toml(text)
	case unitSection.MatchString(text):
		_, err := unit.DeserializeOptions(strings.NewReader(text))
		return err
	}
	return nil
}

var (
	unitSection = regexp.MustCompile(`\A(?:#.*\n)*\[(?:Unit|Service|Mount|Path)\]\n`)
	firstLine   = regexp.MustCompile(`\A# (\S+)`)
	hostsPath   = regexp.MustCompile(`certs\.d/([^/]+)/hosts\.toml$`)
)

// releases are those as which a config of containerd is read: some release must honour it.
var releases = []containerdconf.Release{
	{Major: 1, Minor: 6, Patch: 20}, {Major: 1, Minor: 7, Patch: 28}, {Major: 2, Minor: 1, Patch: 5}, {Major: 2, Minor: 4, Patch: 2},
}

// toml checks a file in TOML. What it is for follows from its tables.
func (c checker) toml(text string) error {
	var v map[string]any
	if err := toml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	switch {
	case v["settings"] != nil:
		return bottlerocket(text)
	case v["plugins"] != nil:
		return readsHosts(text, v["version"] != nil)
	case v["host"] != nil || v["server"] != nil:
		return c.hostsTOML(text)
	}
	if !firstLine.MatchString(text) {
		return errors.New("a file without its name in a comment in the first line")
	}
	return nil
}

// readsHosts checks that some release of containerd reads hosts.toml files with this config. One
// without a version is a part that a platform adds to its own file.
func readsHosts(text string, whole bool) error {
	mains := []string{text}
	if !whole {
		mains = append(mains, "version = 2\n"+text, "version = 3\n"+text)
	}
	var reasons []string
	for _, main := range mains {
		for _, r := range releases {
			a := containerdconf.Assess(containerdconf.Load("/etc/containerd/config.toml", r, nodefiles.Files{"/etc/containerd/config.toml": main}), r)
			if a.Honoured {
				return nil
			}
			reasons = append(reasons, fmt.Sprintf("containerd %s: %+v", r, a.Issues))
		}
	}
	return fmt.Errorf("no release of containerd would read hosts.toml files: %s", strings.Join(reasons, "; "))
}

// hostsTOML reads a hosts.toml as each family of containerd releases does.
func (c checker) hostsTOML(text string) error {
	name := firstLine.FindStringSubmatch(text)
	if name == nil || !hostsPath.MatchString(name[1]) {
		return errors.New("a hosts.toml without its path, …/certs.d/REGISTRY/hosts.toml, in a comment in the first line")
	}
	registry := hostsPath.FindStringSubmatch(name[1])[1]
	root, err := os.MkdirTemp(c.scratch, "certs.d")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(root, registry), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, registry, "hosts.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	for _, f := range hostsconf.Families() {
		r, err := f.Lookup(root, registry)
		if err := errors.Join(err, r.Ignored); err != nil {
			return fmt.Errorf("%v: %w", f, err)
		}
	}
	return nil
}

// hcl parses a file of Terraform or of Vault agent, and checks its texts.
func (c checker) hcl(text string) error {
	file, diags := hclsyntax.ParseConfig([]byte(text), "block.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return diags
	}
	var errs []error
	diags = hclsyntax.VisitAll(file.Body.(*hclsyntax.Body), func(n hclsyntax.Node) hcl.Diagnostics {
		if e, ok := n.(*hclsyntax.TemplateExpr); ok {
			// Only a text without references has a value here.
			if v, d := e.Value(nil); !d.HasErrors() && v.Type() == cty.String {
				errs = append(errs, c.inside(v.AsString()), consulTemplate(v.AsString()))
			}
		}
		return nil
	})
	if diags.HasErrors() {
		errs = append(errs, diags)
	}
	return errors.Join(errs...)
}

// consulTemplate parses a template of Vault agent. A text without "{{" is one too.
func consulTemplate(text string) error {
	_, err := template.New("").Funcs(template.FuncMap{
		"secret": func(...string) (any, error) { return nil, nil },
		"toJSON": func(any) (string, error) { return "", nil },
	}).Parse(text)
	return err
}

// mime checks each part of user data.
func (c checker) mime(text string) error {
	message, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return err
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := 0
	for r := multipart.NewReader(message.Body, params["boundary"]); ; parts++ {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) && parts > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("part %d: %w", parts+1, err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		switch {
		case err != nil:
		case kind == "text/x-shellscript":
			err = c.shell(string(body))
		case kind == "application/node.eks.aws", kind == "text/cloud-config":
			err = c.yaml(string(body), "")
		default:
			err = fmt.Errorf("neither cloud-init nor nodeadm reads %q", kind)
		}
		if err != nil {
			return fmt.Errorf("part %d: %w", parts+1, err)
		}
	}
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	// verbCall is a call of berth where a command stands: at the start, after a word of the shell,
	// in a pod, or on another machine.
	verbCall = regexp.MustCompile(`(?:^|[;&|(]|\s--\s|\s(?:sudo|ssh\s+\S+|if|then|else|until|while|do|!)\s)\s*(?:[\w./-]*/)?berth\s+(images\s+[a-z]+|[a-z][a-z-]*)([^;&|)\n]*)`)
	flag     = regexp.MustCompile(`(?:^|\s)(--?[a-zA-Z][a-z-]*)`)
)

// shell checks commands: their grammar, and the verbs and flags of berth.
func (c checker) shell(text string) error {
	if err := grammar(text); err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(continued.ReplaceAllString(text, " ")) {
		line, _, _ = strings.Cut(" "+line, " #")
		for _, m := range verbCall.FindAllStringSubmatch(line, -1) {
			errs = append(errs, c.call(m[1], m[2]))
		}
	}
	return errors.Join(errs...)
}

// grammar checks that bash can read commands; it runs none.
func grammar(text string) error {
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bash -n: %w: %s", err, &said)
	}
	return nil
}

// call checks one call of berth.
func (c checker) call(verb, args string) error {
	help, err := c.help(verb)
	if err != nil {
		return fmt.Errorf("berth %s: %w", verb, err)
	}
	known := flag.FindAllString(strings.ReplaceAll(help, ",", " "), -1)
	for _, f := range flag.FindAllString(args, -1) {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.TrimSpace(k) == strings.TrimSpace(f) }) {
			return fmt.Errorf("berth %s has no flag %s", verb, strings.TrimSpace(f))
		}
	}
	return nil
}

// walkStrings calls f for each text of a decoded document.
func walkStrings(v any, f func(string) error) error {
	var errs []error
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for _, e := range v {
			errs = append(errs, walkStrings(e, f))
		}
	case map[string]any:
		for k, e := range v {
			if err := walkStrings(e, f); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", k, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isFileName reports whether the first line names a file of this name.
func isFileName(text string, pattern string) bool {
	m := firstLine.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	ok, err := path.Match(pattern, path.Base(m[1]))
	return ok && err == nil
}
