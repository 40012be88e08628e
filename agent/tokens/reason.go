package tokens

import (
	"errors"
	"slices"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/helper"
)

// reasons lists the outcomes of a source, the one that explains best first, with their keys in
// [Status.Failures].
func reasons() []outcomeReason {
	return []outcomeReason{
		{ecr.Denied, "access_denied"},
		{ecr.Rejected, "credentials_rejected"},
		{ecr.Refused, "not_supported"},
		{ecr.Busy, "temporary"},
		{ecr.NoRole, "no_role"},
		{ecr.HopLimit, "metadata_hop_limit"},
		{ecr.NotEC2, "no_ec2_metadata"},
		{ecr.Unreachable, "metadata_unreachable"},
		{ecr.NoKeys, "no_keys"},
	}
}

type outcomeReason struct {
	outcome ecr.Outcome
	key     string
}

// worstReason is the outcome of the sources that explains best why there is no token: if a profile
// is denied and keys are missing, the former. An unknown outcome counts as the last one.
func worstReason(err error) outcomeReason {
	var of *helper.Error
	if errors.As(err, &of) {
		return outcomeReason{key: string(of.Class)}
	}
	all := reasons()
	errs := sourceErrors(err)
	for _, r := range all {
		if slices.ContainsFunc(errs, func(e error) bool { return ecr.OutcomeOf(e) == r.outcome }) {
			return r
		}
	}
	return all[len(all)-1]
}

// sourceErrors returns the errors of the single sources of a chain.
func sourceErrors(err error) []error {
	var chain *ecr.ChainError
	if errors.As(err, &chain) && len(chain.Errs) > 0 {
		return chain.Unwrap()
	}
	return []error{err}
}
