// Package images has the tests of list and rewrite together; the code is in its packages.
//
//	reference   image names, targets, locations
//	document    YAML and JSON with positions; edits in place
//	inventory   the images in a document
//	list        images from manifests, lists, layouts and nodes
//	rewrite     manifests that name another registry
//	manifest    OCI and Docker manifests, indexes, platforms
//	transfer    one blob from a reader to a target
//	registry    client: login, TLS, proxy, retries, rate limits
//	layout      OCI layout directories
//	copy        images to a registry, directory or bundle
//	load        images into a node's containerd or Docker
//	serve       a read-only registry of a directory or bundle
//	check       images in a registry, directory or bundle, against their source
//	bundle      an OCI layout in one file
//	report      what list, check and copy found, for people and programs
//	place       where an image is named
//
// They promise that a reference means the same as in containerd, that a copy has the same digests,
// and that a rewrite changes images (and pull secrets, on request) and no other byte. They read
// manifests, lists and the CRI socket. Only load writes to a node, into its image store. The caller supplies the mirrors
// of a node and the logins.
//
// Start reading at reference.Parse and list.List.
package images
