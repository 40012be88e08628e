package containerdconf

import "path"

// Unread says why no release that can run with this configuration honours
// hosts.toml files: the verdict of the first of them. ok is false when some
// release does. A release that is known is asked alone.
func Unread(c Config, r Release) (v Assessment, ok bool) {
	if !r.IsZero() {
		v = assess(c, r)
		return v, !v.Honoured
	}
	for _, candidate := range known() {
		if c.newestVersion() > candidate.NewestVersion() {
			continue // it does not run here
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

// ImportDirs lists the directories that imports of the configuration name,
// whatever is in them.
func (c Config) ImportDirs() []string {
	var dirs []string
	for _, f := range c.Files {
		for _, pattern := range f.imports {
			dirs = append(dirs, path.Dir(pattern))
		}
	}
	return dirs
}
