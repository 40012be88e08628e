// Package release tests the output of package.sh: both formats for both architectures, inspected
// without an installation. test/nspawn tests the deb on a node; no test runs the rpm or the
// packages for arm64.
//
// The scripts beside this file make a release: version.sh defines version strings, build.sh builds
// the programs, package.sh the packages, and release.sh everything that is published, twice, to
// check that both results are equal.
//
//	go test -tags e2e ./test/release
package release
