package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/images/manifest"
)

// listTags returns the tags of the repository; nil if there are too many, or if the registry
// refuses.
func (r *Repository) listTags(ctx context.Context) (map[string]bool, error) {
	const pages, perPage = 20, 1000
	tags := map[string]bool{}
	next := "tags/list?n=" + strconv.Itoa(perPage)
	for range pages {
		var page struct {
			Tags []string `json:"tags"`
		}
		var link string
		err := r.Retry(ctx, "tags", func(ctx context.Context) error {
			resp, err := r.send(ctx, call{method: http.MethodGet, url: next, what: "tags", ok: []int{http.StatusOK}})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			link = nextPage(resp)
			if err := json.NewDecoder(io.LimitReader(resp.Body, manifest.MaxSize)).Decode(&page); err != nil {
				return netErrorOf(ctx, r.registry.name, fmt.Errorf("tags: %w", err))
			}
			return nil
		})
		if refusal, is := errors.AsType[*statusError](err); is && refusal.classify() == actionGiveUp {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, t := range page.Tags {
			tags[t] = true
		}
		if link == "" {
			return tags, nil
		}
		next = link
	}
	return nil, nil
}

// nextPage reads the header Link: <…>; rel="next".
// https://www.rfc-editor.org/rfc/rfc8288
func nextPage(resp *http.Response) string {
	target, rest, ok := strings.Cut(resp.Header.Get("Link"), ">")
	target, begins := strings.CutPrefix(strings.TrimSpace(target), "<")
	if !ok || !begins || !strings.Contains(rest, "next") || resp.Request == nil {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	u = resp.Request.URL.ResolveReference(u)
	if u.Host != resp.Request.URL.Host {
		return "" // a list of another host
	}
	return u.String()
}
