// Package release tests what a release is made of. The packages of both formats for both
// architectures are inspected without an installation; test/nspawn tests the deb on a node; no test
// runs the rpm or the packages for arm64. The steps of docs/verify.md must accept a release, and
// refuse one with an altered file, another signature or another key.
//
// The scripts beside this file make a release: version.sh defines version strings, build.sh builds
// the programs, pages.sh their man pages, package.sh the packages, chart.sh the chart, oci the image,
// list.sh checksums and provenance, sign.sh the signatures, and release.sh all of it, twice, to check
// that both results are equal.
//
//	go test -tags e2e ./test/release
package release
