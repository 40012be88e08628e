package node

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/nodefs"
)

// unit is a systemd service with its drop-ins. Format:
// https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html
type unit struct {
	path        string
	dropIns     []string // in the order in which they are read
	commands    []string // ExecStart
	environment map[string]string
	files       []string // EnvironmentFile
}

// unitDirs are the directories of units; the first one that has a unit wins (systemd.unit(5)).
func unitDirs() []string {
	return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// readUnit reads a service and its drop-ins, except those at the paths in without. The error of
// a missing service matches fs.ErrNotExist.
func readUnit(root *nodefs.Root, name string, without ...string) (unit, error) {
	u := unit{environment: map[string]string{}}
	for _, dir := range unitDirs() {
		raw, err := root.ReadFile(path.Join(dir, name))
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return u, err
		}
		u.path = path.Join(dir, name)
		u.parse(string(raw))
		break
	}
	if u.path == "" {
		return u, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	dropIns := map[string]string{} // by name: the first directory wins
	for _, dir := range slices.Backward(unitDirs()) {
		found, err := files{root}.Glob(path.Join(dir, name+".d", "*.conf"))
		if err != nil {
			return u, err
		}
		for _, file := range found {
			if !slices.Contains(without, file) {
				dropIns[path.Base(file)] = file
			}
		}
	}
	for _, base := range slices.Sorted(maps.Keys(dropIns)) {
		raw, err := root.ReadFile(dropIns[base])
		if err != nil {
			return u, fmt.Errorf("%s: %w", dropIns[base], err)
		}
		u.dropIns = append(u.dropIns, dropIns[base])
		u.parse(string(raw))
	}
	return u, u.readEnvironment(root)
}

// readEnvironment adds the variables of the files in EnvironmentFile, which override
// Environment (systemd.exec(5)).
func (u *unit) readEnvironment(root *nodefs.Root) error {
	for _, name := range u.files {
		name, optional := strings.CutPrefix(name, "-")
		if !path.IsAbs(name) {
			continue // a specifier; only systemd can expand it
		}
		found, err := files{root}.Glob(path.Clean(name))
		if err != nil {
			return fmt.Errorf("%s: EnvironmentFile %s: %w", u.path, name, err)
		}
		for _, file := range found {
			raw, err := root.ReadFile(file)
			if err != nil && !optional {
				return fmt.Errorf("%s: EnvironmentFile %s: %w", u.path, name, err)
			}
			u.parseVariables(string(raw))
		}
	}
	return nil
}

// parseVariables adds the lines of an environment file.
func (u *unit) parseVariables(text string) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\\\r\n", ""), "\\\n", "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if value = strings.TrimSpace(value); strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
			value = strings.Join(splitWords(value), " ")
		}
		u.environment[strings.TrimSpace(name)] = value
	}
}

// parse adds the settings of one file of the unit.
func (u *unit) parse(text string) {
	text = strings.ReplaceAll(text, "\\\r\n", " ")
	text = strings.ReplaceAll(text, "\\\n", " ")
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if section != "[Service]" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "ExecStart":
			if value == "" {
				u.commands = nil // an empty value clears the list
			} else {
				u.commands = append(u.commands, value)
			}
		case "Environment":
			for _, word := range splitWords(value) {
				if name, value, ok := strings.Cut(word, "="); ok {
					u.environment[name] = value
				}
			}
		case "EnvironmentFile":
			if value == "" {
				u.files = nil
			} else {
				u.files = append(u.files, value)
			}
		}
	}
}

// command returns the arguments of the last ExecStart, from the program of this name on: env(1)
// may come before it.
func (u unit) command(program string) []string {
	if len(u.commands) == 0 {
		return nil
	}
	line := strings.TrimLeft(u.commands[len(u.commands)-1], "@-:+!|")
	var args []string
	for _, word := range splitWords(line) {
		if name, ok := strings.CutPrefix(word, "$"); ok && !strings.HasPrefix(name, "{") {
			args = append(args, splitWords(u.environment[name])...) // split into words
			continue
		}
		args = append(args, os.Expand(word, func(name string) string { return u.environment[name] }))
	}
	at := slices.IndexFunc(args, func(word string) bool { return path.Base(word) == program })
	if at < 0 {
		return nil
	}
	return args[at:]
}

// splitWords splits a line as systemd does: at spaces, but not inside quotes.
func splitWords(line string) []string {
	var all []string
	var word strings.Builder
	started, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if started {
				all = append(all, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if started {
		all = append(all, word.String())
	}
	return all
}
