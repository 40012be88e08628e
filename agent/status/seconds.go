package status

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Seconds is a duration that JSON shows as a number of seconds.
type Seconds time.Duration

// MarshalJSON implements [json.Marshaler].
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Seconds) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.Abs(f) > time.Duration(math.MaxInt64).Seconds()/2 {
		return fmt.Errorf("%q is not a number of seconds", text)
	}
	*s = Seconds(math.Round(f * float64(time.Second)))
	return nil
}

// Human formats a duration without a sign for people, such as 42s, 12m, 5h20m or 3d4h.
func Human(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "m")
	case d < 10*24*time.Hour:
		return pair(d, 24*time.Hour, "d", time.Hour, "h")
	}
	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

func pair(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	text := strconv.Itoa(int(d/large)) + largeName
	if rest := int(d % large / small); rest > 0 {
		text += strconv.Itoa(rest) + smallName
	}
	return text
}
