package redact

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used. The
// credential provider links this package for [Secret] alone and starts for every
// image: compiling four expressions would take a tenth of its time.
type pattern struct {
	source   string
	once     sync.Once
	compiled *regexp.Regexp
}

// MatchString is [regexp.Regexp.MatchString]. A source that does not compile panics.
func (p *pattern) MatchString(s string) bool {
	p.once.Do(func() { p.compiled = regexp.MustCompile(p.source) })
	return p.compiled.MatchString(s)
}
