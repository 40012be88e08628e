package inventory

import (
	"slices"
	"strings"
)

// key is the name of the field that a value belongs to, and what that says
// about the value.
type key struct {
	name  string
	says  keySays
	about bool // the name has the word image in it, wherever
	item  bool // the value is an item of a list
}

// keySays is how much the name of a field promises.
type keySays uint8

const (
	saysNothing keySays = iota
	saysInside          // a field below one that says image or images
	saysEnds            // it ends in image or images: docker_image, sidecarImages, --engine-image
	saysImage           // image, imageName: its value is an image
)

// keyOf reads the name of a field, a variable or a flag, inside of another.
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

// isAddressWord recognises fields beside those of an image, with values that
// look like name:tag.
func isAddressWord(name string) bool {
	for _, word := range wordsOf(name) {
		switch word {
		case "registry", "registries", "host", "hostname", "address", "addr", "endpoint", "server", "proxy", "mirror", "mirrors", "port", "listen":
			return true
		}
	}
	return false
}

// wordsOf cuts dockerImage, docker_image, docker-image, DOCKER_IMAGE and
// acme.io/docker.image into words in lower case.
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
			end() // the I of DBImage
		}
		word += string(c)
	}
	end()
	return words
}
