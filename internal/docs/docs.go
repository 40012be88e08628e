// Package docs has the addresses of the pages that messages name. A reader of a message has a node
// and a browser, and no checkout.
package docs

// Root is the address of the repository's files.
const Root = "https://github.com/berth-registry/berth/blob/main/"

// URL is the address of a page in docs, with or without an anchor, as in "docker.md#logins". A
// test looks for the page and the anchor of each call, so page must be a literal.
func URL(page string) string { return Root + "docs/" + page }
