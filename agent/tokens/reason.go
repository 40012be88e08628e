package tokens

import (
	"errors"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// worstReason is the outcome that explains best why there is no token: if a profile is denied and
// keys are missing, the former.
func worstReason(err error) ecr.Outcome {
	found := ecr.NoKeys
	errs := sourceErrors(err)
	for _, e := range errs {
		if o := ecr.OutcomeOf(e); rank(o) > rank(found) {
			found = o
		}
	}
	return found
}

func rank(o ecr.Outcome) int {
	switch o {
	case ecr.Denied:
		return 7
	case ecr.Rejected:
		return 6
	case ecr.Busy:
		return 5
	case ecr.NoRole:
		return 4
	case ecr.HopLimit:
		return 3
	case ecr.NotEC2:
		return 2
	case ecr.Unreachable:
		return 1
	}
	return 0
}

// sourceErrors returns the errors of the single sources of a chain.
func sourceErrors(err error) []error {
	var chain *ecr.ChainError
	if errors.As(err, &chain) && len(chain.Errs) > 0 {
		return chain.Unwrap()
	}
	return []error{err}
}

// Reasons lists every possible key of [Status.Failures], so that a metric can show all of them from
// the start.
func Reasons() []string {
	return []string{
		"access_denied", "credentials_rejected", "metadata_hop_limit", "metadata_unreachable",
		"no_ec2_metadata", "no_keys", "no_role", "temporary",
	}
}

func reason(err error) string {
	switch worstReason(err) {
	case ecr.Denied:
		return "access_denied"
	case ecr.Rejected:
		return "credentials_rejected"
	case ecr.NoRole:
		return "no_role"
	case ecr.HopLimit:
		return "metadata_hop_limit"
	case ecr.NotEC2:
		return "no_ec2_metadata"
	case ecr.Unreachable:
		return "metadata_unreachable"
	case ecr.NoKeys:
		return "no_keys"
	}
	return "temporary"
}
