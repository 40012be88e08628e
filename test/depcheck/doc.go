// Package depcheck holds a test of which package may import which.
package depcheck
