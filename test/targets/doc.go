// Package targets holds tests that keep the Makefile, the end-to-end suites, the workflows
// and the pages that name them consistent.
package targets
