// Package page opens the agent's page in a real browser, headless Chromium: every width, light and
// dark, with an agent in trouble, with a hundred upstreams, with nothing to report, and with texts
// that try to inject HTML. It needs Debian's package chromium, and go to run the server with
// made-up snapshots, agent/status/statustest/serve.
//
// With SCREENSHOTS=DIR it writes pictures there for people.
package page
