package ecr

import (
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// Token is a login for the registries of one region.
type Token struct {
	Username string
	Password redact.Secret
	// Issued and Expires are by this machine's clock, also when AWS's clock differs.
	Issued, Expires time.Time
	// Principal is the ARN of the identity that got the token, "" when it is not known. It is asked
	// for only where another identity can come to stand behind the same source.
	Principal string
}

// MaxLife is longer than the life of any token; ECR documents 12 hours.
const MaxLife = 7 * 24 * time.Hour

// Printable reports whether s is visible ASCII, as username and password of ECR are: it has no
// control characters that could change a terminal or a log.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
