package hostsconf

import (
	"errors"
	"strings"
)

// Differences describes how containerd releases differ in reading the directory that wins for
// registry. It returns "" if all of them ask the same hosts in the same way.
func Differences(certsDir, registry string) string {
	outcomes := make([]string, len(families))
	for _, f := range Families() {
		r, err := f.Lookup(certsDir, registry)
		outcomes[f] = r.outcome(err)
	}
	return joinOutcomes(outcomes)
}

// joinOutcomes names the releases for each outcome; it returns "" if there is only one.
func joinOutcomes(outcomes []string) string {
	var parts []string
	from := Family16
	for _, f := range Families() {
		if f == Newest || outcomes[f+1] != outcomes[f] {
			parts = append(parts, "containerd "+releases(from, f)+" "+outcomes[f])
			from = f + 1
		}
	}
	if len(parts) == 1 {
		return ""
	}
	return strings.Join(parts, "; ")
}

// outcome describes what containerd does, such as "asks https://m.corp/v2, …". err is that of the
// lookup.
func (r Resolution) outcome(err error) string {
	switch {
	case errors.Is(err, ErrCrashes):
		return "crashes at the pull"
	case err != nil:
		return "fails the pull"
	case r.Ignored != nil:
		return "ignores the file"
	}
	urls := make([]string, len(r.Hosts))
	for i, h := range r.Hosts {
		urls[i] = h.URL()
	}
	if r.Registry == defaultDir && urls[len(urls)-1] == upstreamHost(defaultDir).URL() {
		urls[len(urls)-1] = "the registry itself"
	}
	return "asks " + strings.Join(urls, ", ")
}

// releases names the releases between two families, such as "1.6 to 2.0.6".
func releases(from, to Family) string {
	switch {
	case from == Family16 && to == Newest:
		return "all"
	case from == to:
		return from.String()
	}
	first, _, _ := strings.Cut(from.String(), " ")
	if to == Newest {
		return first + " and later"
	}
	name := to.String()
	return first + " to " + name[strings.LastIndex(name, " ")+1:]
}
