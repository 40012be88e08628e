package status

import (
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/redact"
)

// maxText limits a string of a snapshot, in bytes. The errors of a config with hundreds of mistakes
// fit.
const maxText = 16 << 10

// tidy returns a deep copy of a snapshot that is safe to show: secrets in errors of other programs
// are masked; texts are bounded, valid UTF-8 and without control characters (which could control a
// terminal) or characters that change the writing direction; numbers can be encoded; lists are
// never nil; Alarms are derived again.
func (c *cleaner) tidy(s Snapshot) Snapshot {
	s = c.clean(s)
	s.Alarms = append([]Alarm{}, Alarms(s)...)
	return s
}

// clean is tidy without the alarms.
func (c *cleaner) clean(s Snapshot) Snapshot {
	out := reflect.New(reflect.TypeOf(s)).Elem()
	c.copy(out, reflect.ValueOf(s))
	return out.Interface().(Snapshot)
}

type cleaner struct {
	userinfo, query, header *regexp.Regexp
}

func newCleaner() *cleaner {
	return &cleaner{
		userinfo: regexp.MustCompile(`://[^/\s"'<>]*@`),
		query:    regexp.MustCompile(`(://[^\s"'<>?]*\?)([^\s"'<>]+)`),
		// A token68 of RFC 9110, long enough not to be a short word.
		header: regexp.MustCompile(`(?i)\b(basic|bearer|aws4-hmac-sha256)(%20|[ +:=]+)([a-z0-9._~+/-]{8,}=*)`),
	}
}

// copy copies the kinds of values that a snapshot has.
func (c *cleaner) copy(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.String:
		to.SetString(c.text(from.String()))
	case reflect.Float64:
		if f := from.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			to.SetFloat(f)
		}
	case reflect.Struct:
		if t, ok := from.Interface().(time.Time); ok {
			if y := t.UTC().Year(); y > 0 && y < 9999 { // other years have no form in JSON
				to.Set(reflect.ValueOf(t.UTC().Round(0)))
			}
			return
		}
		for i := range from.NumField() {
			c.copy(to.Field(i), from.Field(i))
		}
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(from.Type().Elem()))
			c.copy(to.Elem(), from.Elem())
		}
	case reflect.Slice:
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			c.copy(to.Index(i), from.Index(i))
		}
	case reflect.Map:
		to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
		for key, value := range from.Seq2() {
			k := reflect.New(key.Type()).Elem()
			c.copy(k, key)
			to.SetMapIndex(k, value)
		}
	default:
		to.Set(from)
	}
}

// text makes one string safe to show. It masks secrets before it cuts the end off, because half a
// secret would not be recognised.
func (c *cleaner) text(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || r == '\n' || r == '\t' {
			return r
		}
		return utf8.RuneError
	}, cut(s, 4*maxText))
	return cut(c.mask(s), maxText)
}

// cut returns at most limit bytes of s, with a mark if it removed some.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const mark = "… (cut off)"
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

func (c *cleaner) mask(s string) string {
	if strings.Contains(s, "://") {
		if strings.Contains(s, "@") {
			s = c.userinfo.ReplaceAllString(s, "://"+redact.Placeholder+"@")
		}
		if strings.Contains(s, "?") {
			s = c.query.ReplaceAllStringFunc(s, func(url string) string {
				at := strings.Index(url, "?") + 1
				if query := url[at:]; strings.HasPrefix(query, "ns=") && !strings.Contains(query, "&") {
					return url // containerd's own parameter, not a secret
				}
				return url[:at] + redact.Placeholder
			})
		}
	}
	if !c.header.MatchString(s) {
		return s
	}
	return c.header.ReplaceAllStringFunc(s, func(match string) string {
		parts := c.header.FindStringSubmatch(match)
		if isWord(parts[3]) {
			return match
		}
		return parts[1] + parts[2] + redact.Placeholder
	})
}

// isWord reports whether the text after "Basic" is prose, such as "authentication".
func isWord(s string) bool {
	for _, r := range strings.TrimRight(s, ".") {
		if (r < 'a' || r > 'z') && r != '-' {
			return false
		}
	}
	return len(s) <= 20
}
