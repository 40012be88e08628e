// Package hide replaces what may be a secret in the text of a foreign file, before it is shown.
//
// Start reading at [Text].
package hide

import (
	"regexp"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// notShown replaces text that may be a secret.
const notShown = "(not shown)"

// Text replaces everything in a foreign file that may be a secret: in TOML, YAML, JSON, a unit or a
// file of variables. A value is shown if it is a path, an address, a number, true or false; a name
// is shown if it is a plain word; comments are not shown.
func Text(text string) string {
	var out strings.Builder
	inside := false // in a table of headers or logins
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		end := line[len(body):]
		body, comment := cutComment(body)
		indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
		behind := body[len(strings.TrimRight(body, " \t")):]
		switch trimmed := strings.TrimSpace(body); {
		case trimmed == "":
		case tableHead.MatchString(body):
			inside = loginTable.MatchString(body)
			body = tablePart.ReplaceAllStringFunc(body, shownPart)
		default:
			body = indent + shownSetting(trimmed, inside) + behind
		}
		out.WriteString(body + comment + end)
	}
	return out.String()
}

// cutComment removes the comment of a line; no part of it is shown. A # inside a value splits the
// value, and neither half is shown.
func cutComment(line string) (rest, comment string) {
	trimmed := strings.TrimLeft(line, " \t")
	if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") || strings.HasPrefix(trimmed, "//") {
		return line[:len(line)-len(trimmed)], "# " + notShown
	}
	if at := strings.Index(line, "#"); at >= 0 {
		return line[:at], "# " + notShown
	}
	return line, ""
}

// shownSetting shows a line with a name and a value, or an item of a list.
func shownSetting(line string, secret bool) string {
	item := ""
	for strings.HasPrefix(line, "- ") {
		item, line = item+"- ", strings.TrimLeft(line[2:], " ")
	}
	m := setting.FindStringSubmatch(line)
	if m == nil {
		return item + shownValue("", line, secret)
	}
	name := strings.Trim(m[1], `"'`)
	for _, part := range tablePart.FindAllString(m[1], -1) {
		if part = strings.Trim(part, `"'`); !plainName(part) && !plainName(name) {
			return item + notShown
		}
	}
	return item + m[1] + m[2] + shownValue(name, line[len(m[0]):], secret || maybeSecret(name))
}

// shownValue shows the value of a setting with the punctuation around it.
func shownValue(name, value string, secret bool) string {
	inner := strings.TrimRight(value, ",")
	switch tail := value[len(inner):]; {
	case strings.Trim(inner, "[]{} |>-") == "":
		return value
	case secret && inner != "true" && inner != "false":
		return notShown
	case safeValue(name, inner):
		return inner + tail
	case strings.HasPrefix(inner, "[") && strings.HasSuffix(inner, "]"):
		for one := range strings.SplitSeq(inner[1:len(inner)-1], ",") {
			if one = strings.TrimSpace(one); one != "" && !safeValue(name, one) {
				return notShown
			}
		}
		return inner + tail
	case strings.ContainsAny(inner, " \t") && strings.Contains(inner, "--"):
		return Command(inner)
	}
	return notShown
}

// Command shows a command with its arguments, or arguments alone.
func Command(command string) string {
	words := strings.Fields(command)
	for i, word := range words {
		lead := word[:len(word)-len(strings.TrimLeft(word, `"'`))]
		bare := strings.Trim(word, `"'`)
		tail := word[len(lead)+len(bare):]
		flag, value, hasValue := strings.Cut(bare, "=")
		switch {
		case strings.HasPrefix(bare, "--") && flagName.MatchString(flag) && (!hasValue || safeValue("", value)):
		case strings.HasPrefix(bare, "--") && flagName.MatchString(flag):
			words[i] = lead + flag + "=" + notShown + tail
		case variable.MatchString(bare), redact.Path(bare) != "", bare == "\\":
		default:
			words[i] = notShown
		}
	}
	return strings.Join(words, " ")
}

// safeValue reports whether a single value has a form that a secret cannot have.
func safeValue(name, value string) bool {
	bare := strings.Trim(strings.TrimSpace(value), `"'`)
	if _, err := time.ParseDuration(bare); err == nil && len(bare) < 10 {
		return true
	}
	if (name == "name" || name == "kind") && wordForm.MatchString(bare) && !redact.MaybeSecret(bare) {
		return true
	}
	if m := image.FindStringSubmatch(bare); m != nil {
		bare = m[1]
	}
	return bare == "" || plainValue.MatchString(bare) || redact.Path(bare) != "" || redact.Address(bare) == bare || variable.MatchString(bare)
}

// plainName reports whether name is the name of a setting or a registry.
func plainName(name string) bool {
	return (wordForm.MatchString(name) || pluginName.MatchString(name) || redact.Address(name) == name) && !redact.MaybeSecret(name)
}

// shownPart shows one name in the head of a table, with or without quotes.
func shownPart(part string) string {
	if plainName(strings.Trim(part, `"'`)) {
		return part
	}
	return `"` + notShown + `"`
}

var (
	// tableHead is the head of a TOML table or a section of a unit.
	tableHead = regexp.MustCompile(`^\s*\[\[?\s*[A-Za-z0-9_-][^\[\]]*\]\]?\s*$`)
	tablePart = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s\[\]."']+`)
	// loginTable is the head of a table in which every value may be a secret.
	loginTable = regexp.MustCompile(`registry.*\.["']?(headers|auths|auth)\b`)
	// setting is a name with the sign after it.
	setting    = regexp.MustCompile(`^((?:"[^"]*"|'[^']*'|[^\s"'=:])+)(\s*=\s*|:\s+|:$)`)
	wordForm   = regexp.MustCompile(`^[A-Za-z]{1,32}([_.-][A-Za-z]{1,32}){0,6}$`)
	pluginName = regexp.MustCompile(`^io\.containerd(\.[a-z0-9-]{1,24}){1,5}$`)
	plainValue = regexp.MustCompile(`^["']?(true|false|-?[0-9]{1,6}(\.[0-9]{1,3})?)["']?$`)
	flagName   = regexp.MustCompile(`^--[a-z]{1,32}(-[a-z0-9]{1,32}){0,8}$`)
	// image is a reference with a tag that is a version.
	image    = regexp.MustCompile(`^([^/:]+\.[^/]+/.+):v?[0-9][0-9A-Za-z.-]{0,15}$`)
	variable = regexp.MustCompile(`^\$(\{[A-Z_]+\}|[A-Z_]+)$`)
)

// hiddenWords are parts of the names of settings whose value may be a secret.
func hiddenWords() []string {
	return []string{"password", "passwd", "auth", "token", "secret", "credential", "private", "header", "value", "username", "key"}
}

// maybeSecret reports whether the value of a setting with this name may be a secret.
func maybeSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range hiddenWords() {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
