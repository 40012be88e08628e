package tables

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"sort"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
)

// rewrite reads the rewrite rules of k3s' containerd and returns the prefix that they add to every
// repository, "" for none. Rules with any other effect are reported as lost. k3s tries the rules in
// no fixed order, replaces all matches as Go's regexp does, and stops at the first rule that
// changes the repository.
func (d *reader) rewrite(c source.Cursor, m *foreignMirror) (prefix string) {
	rules := c.All(d.In.Example(`"^(.*)": "prefix/$1"`, `"^(.*)" = "prefix/$1"`))
	var change []source.Cursor
	for _, r := range rules {
		if added, ok := addedBy(r.Name, r.Text()); !ok || added != "" {
			change = append(change, r)
		}
	}
	if len(change) == 0 {
		return ""
	}
	if added, ok := addedBy(change[0].Name, change[0].Text()); ok && len(change) == 1 {
		if prefix, ok = asPath(added); ok {
			if d.Format == draft.Containerd && prefix != "" {
				m.notes = append(m.notes, "Only the containerd of k3s and RKE2 reads rewrite; "+
					"its prefix is part of the urls now.")
			}
			return prefix
		}
	}
	sort.SliceStable(change, func(i, j int) bool { return change[i].Name < change[j].Name })
	var texts []string
	for _, r := range change {
		texts = append(texts, fmt.Sprintf("%s to %s", strconv.Quote(source.Shown(r.Name)),
			strconv.Quote(source.Shown(r.Text()))))
		if len(texts) == 8 && len(change) > 9 {
			texts = append(texts, fmt.Sprintf("and %d more", len(change)-8))
			break
		}
	}
	d.Lose(c.Loss("containerd has no rewrite rules; only the one that k3s and RKE2 carry does",
		fmt.Sprintf("images of %s whose repository matches (%s) are now asked for under their "+
			"own name at each endpoint; "+
			"copy these images in the registry to where they are asked for now",
			draft.NameOf(m.upstream), strings.Join(texts, ", "))))
	return ""
}

// addedBy returns the prefix that a rule adds to every repository. ok is false if the rule does
// anything else.
func addedBy(pattern, replacement string) (prefix string, ok bool) {
	if !matchesWhole(pattern) {
		return "", false
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", false
	}
	// The pattern matches the whole name once, so the result is the replacement with the name in
	// place of its references. Two names are enough to find the prefix.
	for i, name := range []string{"library/nginx", "q"} {
		added, found := strings.CutSuffix(re.ReplaceAllString(name, replacement), name)
		if !found || i > 0 && added != prefix {
			return "", false
		}
		prefix = added
	}
	return prefix, true
}

// matchesWhole reports whether a pattern matches every name exactly once, from start to end, or
// only the empty text before the first character.
func matchesWhole(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	begin, end := false, false
	for len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		begin, parts = true, parts[1:]
	}
	for n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText; n = len(parts) {
		end, parts = true, parts[:n-1]
	}
	if len(parts) == 0 {
		return begin && !end
	}
	if len(parts) > 1 {
		return false
	}
	all := parts[0]
	for all.Op == syntax.OpCapture {
		all = all.Sub[0]
	}
	if all.Op != syntax.OpStar && all.Op != syntax.OpPlus {
		return false
	}
	lazy := all.Flags&syntax.NonGreedy != 0
	any := all.Sub[0].Op == syntax.OpAnyCharNotNL || all.Sub[0].Op == syntax.OpAnyChar
	return any && (!lazy || end)
}

// asPath returns a prefix of names as a path, "" for one without an effect. ok is false if the
// prefix does not end at the end of a path element.
func asPath(prefix string) (string, bool) {
	if !strings.HasSuffix(prefix, "/") {
		return "", false
	}
	for element := range strings.SplitSeq(prefix, "/") {
		if element == ".." {
			return "", false
		}
	}
	// The program asks path.Join of the API's root, the repository and the rest.
	p := strings.Trim(path.Clean("/"+prefix), "/")
	if p == "" {
		return "", true
	}
	_, err := hostsconf.ParseURL("https://h/v2/"+p, true)
	return p, err == nil
}
