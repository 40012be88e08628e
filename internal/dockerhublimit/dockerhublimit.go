// Package dockerhublimit asks Docker Hub how many pulls are left.
//
// Promises: asking counts as no pull, because it sends a HEAD for the image that Docker provides
// for this (https://docs.docker.com/docker-hub/usage/pulls/#view-pull-rate-and-limit). It stores
// nothing. A login is sent only to the token service of the registry that is asked.
//
// Start reading at [Service.Ask]; [Parse] reads the headers of an existing answer.
package dockerhublimit

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is Docker Hub's limit on pulls.
type Limit struct {
	// Limited is false for accounts without a limit; the numbers are then zero.
	Limited bool
	// Total is the number of pulls per Window, Remaining the number left.
	Total, Remaining int
	// Window is the period in which pulls are counted.
	Window time.Duration
	// Counted is the identity for which Docker Hub counts: the IP address of the client, or the
	// ID of the account; "" if the answer does not say.
	Counted string
}

// ErrNone means that an answer has no rate limit.
var ErrNone = errors.New("the answer has no rate limit")

// Parse reads the headers of Docker Hub's answer to a HEAD or GET of a manifest:
//
//	ratelimit-limit: 100;w=21600
//	ratelimit-remaining: 76;w=21600
//	docker-ratelimit-source: 192.0.2.1
//
// Docker Hub omits them for an account without a limit. Parse cannot know whether the answer is
// from Docker Hub; without the headers it returns [ErrNone].
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

// parseQuota parses "100;w=21600": a number, and the window in seconds.
func parseQuota(s string) (int, time.Duration, error) {
	number, parameters, _ := strings.Cut(s, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil {
		return 0, 0, errors.New("the rate limit in the answer is not a number")
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(p), "w="); ok {
			w, err := strconv.ParseUint(seconds, 10, 31)
			if err != nil {
				return 0, 0, errors.New("the window of the rate limit in the answer is not a number")
			}
			return int(n), time.Duration(w) * time.Second, nil
		}
	}
	return int(n), 0, nil
}

func counted(h http.Header) string { return printable(h.Get("Docker-Ratelimit-Source")) }

// printable removes characters of foreign text that could control a terminal.
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
