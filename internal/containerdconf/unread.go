package containerdconf

import "path"

// Unread reports whether no release that can run with this configuration honours hosts.toml files.
// v is then the assessment of the first such release. ok is false if some release honours them. If
// r is known, only r counts.
func Unread(c Config, r Release) (v Assessment, ok bool) {
	if !r.IsZero() {
		v = assess(c, r)
		return v, !v.Honoured
	}
	for _, candidate := range known() {
		if c.newestVersion() > candidate.NewestVersion() {
			continue // this release cannot run with these files
		}
		one := assess(c, candidate)
		if one.Honoured {
			return one, false
		}
		if !ok {
			v, ok = one, true
		}
	}
	return v, ok
}

// ImportDirs lists the directories that the configuration's imports name, with or without files.
func (c Config) ImportDirs() []string {
	var dirs []string
	for _, f := range c.Files {
		for _, pattern := range f.imports {
			dirs = append(dirs, path.Dir(pattern))
		}
	}
	return dirs
}
