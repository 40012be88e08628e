// Package serve answers pulls of the images in a directory or file, as a registry that cannot be
// written to.
//
// It promises that nothing but the blobs and manifests of the source is read or sent, that nothing
// is written, and that an image of one registry is never answered for another. Clients verify the
// digests of blobs; manifests are verified here.
//
// Start reading at [Handler] and names.find.
package serve
