// Package load puts images into the image store of this node's container runtime, so that pods
// start without a pull.
//
// It promises that an image is named only after all of its content is there and unpacked, that the
// runtime verifies every digest, and that a killed run leaves nothing but content which the runtime
// removes after a day. It uses containerd's API alone, which every release since 1.6 has in the
// same form, and not containerd's client, which would double the size of the program.
//
// Start reading at [Loader.Load].
package load
