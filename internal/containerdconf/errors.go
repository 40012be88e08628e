package containerdconf

import "fmt"

// unsupported returns [ErrUnsupported] for a configuration. For an unknown release, which needs a
// change that is right for every release, it adds the point on which they differ.
func unsupported(c Config, r Release) error {
	if !r.IsZero() {
		return fmt.Errorf("%s: %w", c.Path, ErrUnsupported)
	}
	return fmt.Errorf("%s: %w: the version of containerd is unknown, and %s run this where containerd runs", c.Path, ErrUnsupported, disagreement(c))
}

// disagreement says how the releases read a file differently, as the first half of a sentence that
// ends in "run this …".
func disagreement(c Config) string {
	for _, f := range c.Files {
		if f.Err == nil && f.Doc.HasByteOrderMark() {
			return "2.x does not start with the byte order mark of " + f.Path + "; save it as UTF-8 without one, or"
		}
	}
	if !c.Missing && len(c.Files) > 0 {
		switch c.Files[0].Version {
		case 0:
			return `1.x and 2.x read a file without "version =" differently;`
		case 1:
			return "1.x and 2.x read a file of version 1 differently;"
		}
	}
	return "no change is right for every version that reads this file;"
}
