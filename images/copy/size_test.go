package copy

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"650MB": 650e6, "4GiB": 4 << 30, "1KiB": 1024, "8388607TiB": 8388607 << 40,
		"": 0, "4": 0, "4G": 0, "GiB": 0, "0MiB": 0, "-1MiB": 0, "1.5GiB": 0, "4 GiB": 0, "8388608TiB": 0,
	} {
		got, err := ParseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}
