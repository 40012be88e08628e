// Package page looks at the agent's page in a real browser, Chromium without a
// screen: every width, light and dark, with an agent in trouble, with a hundred
// upstreams, with nothing to tell, and with texts that try to become a part of
// the page. It needs Debian's package chromium, and go to run the server with
// the made-up snapshots, agent/status/statustest/serve.
//
// With SCREENSHOTS=DIR it leaves pictures there for people to look at.
package page
