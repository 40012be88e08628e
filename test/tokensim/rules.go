package tokensim

import (
	"fmt"
	"time"
)

// Rule is a rule that the refresher must not break.
type Rule string

// The rules.
const (
	RuleExpiry  Rule = "expiry"  // no token is served past its expiry
	RuleMargin  Rule = "margin"  // nor within the margin, nor when the clock says that it is from the future
	RuleBackoff Rule = "backoff" // no call comes sooner than the backoff and AWS allow, nor much later
	RuleGrowth  Rule = "growth"  // calls at once, regions, goroutines
	RuleService Rule = "service" // there is a token when AWS gives them
	RuleLog     Rule = "log"     // no warning comes twice within ten minutes
	// RuleIdentity: no token is served for the registries of another identity, region or service.
	RuleIdentity Rule = "identity"
)

func (j *checker) violation(rule Rule, format string, args ...any) {
	j.broken[rule]++
	if len(j.violations) < keptViolations {
		at := time.Now().UTC().Format("2006-01-02T15:04:05.000 ")
		j.violations = append(j.violations, at+string(rule)+": "+fmt.Sprintf(format, args...))
	}
}

// enough is the number of violations after which a control may end.
const enough = 20000

// lost reports whether the trial can be ended.
func (j *checker) lost() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := 0
	for _, n := range j.broken {
		all += n
	}
	return all > enough
}
