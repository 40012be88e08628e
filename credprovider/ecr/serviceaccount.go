package ecr

import "strings"

// ServiceAccount says that the pod's own role gets the tokens of a registry: kubelet passes a token
// of the pod's service account, and STS exchanges it for that role. The zero value says that the
// node's chain of credentials gets them.
type ServiceAccount struct {
	// RoleAnnotation is the annotation of the service account that holds the role's ARN.
	RoleAnnotation string `json:"roleAnnotation"`
	// OnMissingRole is what a pod gets for which no role is known.
	OnMissingRole MissingRole `json:"onMissingRole"`
}

// On reports whether the pod's role gets the tokens.
func (s ServiceAccount) On() bool { return s != ServiceAccount{} }

// MissingRole is what a pod gets whose service account names no role.
type MissingRole string

// The values of MissingRole.
const (
	RoleOrNone MissingRole = "none" // no credential
	RoleOrNode MissingRole = "node" // a token that the node's chain of credentials gets
)

// The role's annotation, and the variable with the role of service accounts without it, both as for
// ecr-credential-provider:
// https://github.com/kubernetes/cloud-provider-aws/blob/master/docs/credential_provider.md
const (
	RoleAnnotation = "eks.amazonaws.com/ecr-role-arn"
	EnvRoleOfPod   = "AWS_ECR_ROLE_ARN"
)

// EveryRegistry is the Host of the [Name] for the registries without their own ServiceAccount.
const EveryRegistry = "*"

// IsRoleARN checks the form arn:PARTITION:iam::ACCOUNT:role/PATH/NAME. Source:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func IsRoleARN(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "" || !isAccount(parts[4]) {
		return false
	}
	if parts[1] != "aws" && !strings.HasPrefix(parts[1], "aws-") {
		return false
	}
	name, ok := strings.CutPrefix(parts[5], "role/")
	return ok && name != "" && !strings.HasSuffix(name, "/") && !strings.ContainsFunc(name, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("/+=,.@_-", r)
	})
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
