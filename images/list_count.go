package images

// Count is how often the image was found: once at each place, and as often as a list counts it.
func (i Image) Count() int {
	n := 0
	for _, p := range i.Found {
		n += max(1, p.Count)
	}
	return n
}
