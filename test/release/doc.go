// Package release tests what package.sh makes: both formats for both
// architectures, looked into without being installed. That the deb works on a
// node is for test/nspawn to show; the rpm and the packages for arm64 are run
// nowhere.
//
// What is released is made by the scripts beside this file: version.sh says
// what a version is called, build.sh builds the programs, package.sh the
// packages, and release.sh all that is published, twice, to see that it comes
// out the same.
//
//	go test -tags e2e ./test/release
package release
