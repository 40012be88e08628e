package sample

import (
	"crypto/rand"
	"fmt"
	"runtime"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// NewLayers returns an image of one platform with n layers, each with a file of size random bytes.
func NewLayers(n, size int) (Image, error) {
	img, err := single(runtime.GOARCH, "data", random(size))
	if err != nil {
		return Image{}, err
	}
	for i := range n - 1 {
		other, err := single(runtime.GOARCH, fmt.Sprintf("data-%d", i), random(size))
		if err != nil {
			return Image{}, err
		}
		layers, err := other.Layers()
		if err != nil {
			return Image{}, err
		}
		if img, err = mutate.AppendLayers(img, layers...); err != nil {
			return Image{}, err
		}
	}
	return describe(img, img)
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}
