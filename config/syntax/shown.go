package syntax

import (
	"regexp"
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// Shown returns the part of a value at s that a message may repeat, "" for none. Every value that a
// user wrote passes through it. It repeats a value only if the field holds no secrets and the value
// has the field's form, because people write logins into the wrong field.
func (s *Location) Shown(value string) string {
	if form := s.form(); form != nil {
		return form(value)
	}
	return ""
}

// form returns the form of the values of the field that s is, or is an item of; nil if no value of
// the field may be shown.
func (s *Location) form() func(string) string {
	at := s
	for at != nil && at.Parent != nil && at.Name == "" {
		at = at.Parent
	}
	if at == nil || at.Parent == nil || at.Parent.Name == "headers" {
		return nil
	}
	switch at.Name {
	case "upstream", "host", "for", "url", "tokenRealms", "defaultRegistry", "mirrors", "registries", "endpoints":
		return redact.Address
	case "auth", "mode", "onConflict", "capabilities", "onMissingRole":
		return enumWord
	case "upstreamFallback", "overridePath", "plainHTTP", "allowPlainHTTPCredentials", "insecureSkipVerify", "tls", "configJSON":
		return matching(boolForm)
	case "dialTimeout", "interval", "timeout", "refresh", "maxStale":
		return matching(durationForm)
	case "failures", "successes":
		return matching(numberForm)
	case "certsDir", "dockerConfigFile", "passwordFile", "caFile", "certFile", "keyFile",
		"accessKeyIDFile", "secretAccessKeyFile", "sessionTokenFile", "sharedCredentialsFile", "configFile", "credentialsFile":
		return redact.Path
	case "credentialHelper":
		return helperName
	case "apiVersion":
		return matching(versionForm)
	case "kind":
		return matching(kindForm)
	case "account":
		return matching(accountForm)
	case "region":
		return matching(regionForm)
	case "roleARN":
		return matching(roleForm)
	case "roleAnnotation":
		return matching(AnnotationForm)
	}
	return nil
}

var (
	boolForm     = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|y|n|0|1)$`)
	durationForm = regexp.MustCompile(`^-?([0-9]{1,5}(\.[0-9]{1,3})? ?(ns|us|µs|ms|s|m|h|d|sec|min)?){1,3}$`)
	numberForm   = regexp.MustCompile(`^-?[0-9]{1,4}(\.[0-9]{1,3})?$`)
	versionForm  = regexp.MustCompile(`^([a-z]{1,20}(\.[a-z]{2,10}){0,3}/)?v[0-9]((alpha|beta)[0-9])?$`)
	kindForm     = regexp.MustCompile(`^([A-Z][a-z]{2,15}){1,3}$`)
	accountForm  = regexp.MustCompile(`^[0-9]{1,12}$`)
	regionForm   = regexp.MustCompile(`^[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9][a-z]?$`)
	// AnnotationForm is that of an annotation's name.
	AnnotationForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	roleForm       = regexp.MustCompile(`^arn:aws[a-z-]{0,10}:[a-z]{2,6}:[a-z0-9-]{0,20}:[0-9]{0,12}:[A-Za-z0-9/+=,.@_-]{1,120}$`)
)

func matching(form *regexp.Regexp) func(string) string {
	return func(value string) string {
		if !form.MatchString(value) || redact.MaybeSecret(value) {
			return ""
		}
		return value
	}
}

// enumWord shows a value that is one of the config's words, or close to one.
func enumWord(value string) string {
	words := []string{
		"auto", "basic", "token", "bearer", "withdraw", "report", "off", "adopt", "overwrite", "on",
		"pull", "resolve", "push", "referrers", "none", "node",
	}
	if len(value) > 12 || Nearest(value, words) == "" {
		return ""
	}
	return value
}

// helperName shows the path of a credential helper, or a name without digits.
func helperName(value string) string {
	if strings.HasPrefix(value, "/") {
		return redact.Path(value)
	}
	return shownKey(value)
}

// shownKey returns a field name, or "" if it may be something else: "hunter2: x" is a field too.
func shownKey(name string) string {
	if !keyForm.MatchString(name) || redact.MaybeSecret(name) {
		return ""
	}
	return name
}

// keyForm matches names as fields and headers use them: words without digits.
var keyForm = regexp.MustCompile(`^[A-Za-z]{1,32}([_.-][A-Za-z]{1,32}){0,6}$`)
