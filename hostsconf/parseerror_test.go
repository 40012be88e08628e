package hostsconf

import (
	"errors"
	"testing"

	"github.com/sirupsen/logrus"
)

// The first logged error is the reason why a file is ignored, without values. A log entry without
// an error value counts too.
func TestLogErrors(t *testing.T) {
	first, second := errors.New("invalid URL"), errors.New("second")
	for name, c := range map[string]struct {
		entries []logrus.Fields
		want    string
	}{
		"none":          {nil, ""},
		"an error":      {[]logrus.Fields{{logrus.ErrorKey: first}}, parseError(first).Error()},
		"two":           {[]logrus.Fields{{logrus.ErrorKey: first}, {logrus.ErrorKey: second}}, parseError(first).Error()},
		"no error":      {[]logrus.Fields{{}}, "containerd logged no reason"},
		"not an error":  {[]logrus.Fields{{logrus.ErrorKey: "Basic c2VjcmV0"}}, "containerd logged no reason"},
		"no error, one": {[]logrus.Fields{{}, {logrus.ErrorKey: second}}, "containerd logged no reason"},
	} {
		var all logErrors
		for _, fields := range c.entries {
			if err := all.Fire(&logrus.Entry{Data: fields}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		got := ""
		if all.cause != nil {
			got = all.cause.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
