package inventory

import (
	"slices"
	"strings"
)

// key is the name of the field of a value, and what the name says about the value.
type key struct {
	name  string
	says  keySays
	about bool // the name contains the word image
	item  bool // the value is an item of a list
}

// keySays is how clearly the name of a field says image, in ascending order.
type keySays uint8

const (
	saysNothing keySays = iota
	saysInside          // below a field that says image or images
	saysEnds            // ends in image or images: docker_image, sidecarImages, --engine-image
	saysImage           // image, imageName: the value is an image
)

// keyOf reads the name of a field, a variable or a flag inside of another field.
func keyOf(name string, outer key) key {
	k := key{name: name}
	if !strings.Contains(name, "mage") && !strings.Contains(name, "MAGE") {
		if outer.says != saysNothing && !isAddressWord(name) {
			k.says = saysInside
		}
		return k
	}
	words := wordsOf(name)
	k.about = slices.Contains(words, "image") || slices.Contains(words, "images")
	switch {
	case slices.Equal(words, []string{"image"}) || slices.Equal(words, []string{"image", "name"}):
		k.says = saysImage
	case endsInImage(words):
		k.says = saysEnds
	case outer.says != saysNothing && !isAddressWord(name):
		k.says = saysInside
	}
	return k
}

func endsInImage(words []string) bool {
	n := len(words)
	if n == 0 {
		return false
	}
	if words[n-1] == "image" || words[n-1] == "images" {
		return true
	}
	return n > 1 && words[n-2] == "image" &&
		slices.Contains([]string{"name", "names", "ref", "reference", "url", "uri", "path", "list"}, words[n-1])
}

// isAddressWord recognises neighbours of image fields whose values have the form name:tag.
func isAddressWord(name string) bool {
	for _, word := range wordsOf(name) {
		switch word {
		case "registry", "registries", "host", "hostname", "address", "addr", "endpoint", "server", "proxy", "mirror", "mirrors", "port", "listen":
			return true
		}
	}
	return false
}

// wordsOf splits dockerImage, docker_image, docker-image, DOCKER_IMAGE and acme.io/docker.image
// into lower-case words.
func wordsOf(name string) []string {
	name = name[strings.LastIndexByte(name, '/')+1:]
	var words []string
	word := ""
	end := func() {
		if word != "" {
			words = append(words, strings.ToLower(word))
		}
		word = ""
	}
	for i := range len(name) {
		c := name[i]
		upper := c >= 'A' && c <= 'Z'
		switch {
		case !isAlphanumeric(c):
			end()
			continue
		case upper && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z':
			end()
		case upper && word != "" && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z':
			end() // before the I of DBImage
		}
		word += string(c)
	}
	end()
	return words
}
