// Package images answers for the images that a cluster uses: which they are,
// whether a registry has them, how they get there, and how manifests are
// pointed at it.
//
// It promises that a reference means here what it means to containerd, that
// what it copies is the same content by digest, and that of a manifest it
// changes the images (and pull secrets, when asked to) and not one byte else.
// It never writes to a node: it reads manifests, lists and the CRI socket.
// Where a node takes an image from, and the login for a registry, are told by
// whoever calls.
//
// Start reading at [Parse], which gives the one form of an image name, and
// [List], what was found where.
package images
