package copy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size formats a number of bytes.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f := float64(max(n, 0))
	i := 0
	for f >= 1000 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// ParseSize reads a number of bytes: 650MB is 650 million, 4GiB is 4 times 1024³.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BKMGTikmgtb")
	factor, known := map[string]int64{
		"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[strings.TrimPrefix(s, digits)]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 1 || n > math.MaxInt64/factor {
		return 0, errors.New("is no size; write a number with MiB, GiB, MB or GB, as in 4GiB")
	}
	return n * factor, nil
}
