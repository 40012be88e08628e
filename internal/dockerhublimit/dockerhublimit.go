// Package dockerhublimit asks Docker Hub how many pulls are left. It promises that
// asking costs none: it sends a HEAD for the image that Docker made for this
// (https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit).
// It keeps nothing, and a login goes to the token service of the registry that
// is asked, alone.
//
// Start with [Service.Ask]; [Parse] reads the headers of an answer that somebody
// has already.
package dockerhublimit

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is how many pulls Docker Hub still gives.
type Limit struct {
	// Limited is false for accounts that may pull as much as they like; the
	// numbers are zero then.
	Limited bool
	// Total pulls are given per Window; Remaining are left of them.
	Total, Remaining int
	// Window is how far back pulls are counted.
	Window time.Duration
	// Counted is what Docker Hub counts by: the IP address that asked, or the
	// id of the account that is logged in; "" if it does not say.
	Counted string
}

// ErrNone says that an answer holds no rate limit.
var ErrNone = errors.New("the answer has no rate limit")

// Parse reads the headers of an answer of Docker Hub to a HEAD or GET of a
// manifest:
//
//	ratelimit-limit: 100;w=21600
//	ratelimit-remaining: 76;w=21600
//	docker-ratelimit-source: 192.0.2.1
//
// An answer of Docker Hub without them is that of an account without a limit;
// whether it is Docker Hub's, the caller knows: Parse returns [ErrNone].
func Parse(h http.Header) (Limit, error) {
	total, remaining := h.Get("Ratelimit-Limit"), h.Get("Ratelimit-Remaining")
	if total == "" && remaining == "" {
		return Limit{}, ErrNone
	}
	l := Limit{Limited: true, Counted: counted(h)}
	var err [2]error
	l.Total, l.Window, err[0] = parseQuota(total)
	l.Remaining, _, err[1] = parseQuota(remaining)
	return l, errors.Join(err[:]...)
}

// parseQuota reads "100;w=21600": a number, and the seconds of the window.
func parseQuota(s string) (int, time.Duration, error) {
	number, parameters, _ := strings.Cut(s, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil {
		return 0, 0, errors.New("the rate limit in the answer is no number")
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(p), "w="); ok {
			w, err := strconv.ParseUint(seconds, 10, 31)
			if err != nil {
				return 0, 0, errors.New("the window of the rate limit in the answer is no number")
			}
			return int(n), time.Duration(w) * time.Second, nil
		}
	}
	return int(n), 0, nil
}

func counted(h http.Header) string { return printable(h.Get("Docker-Ratelimit-Source")) }

// printable keeps a foreign word from playing tricks on a terminal.
func printable(s string) string {
	const longest = 64
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), longest)]
}
