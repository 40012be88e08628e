package ecr

import "strings"

// partition is an AWS partition, which has DNS names of its own.
type partition struct {
	id           string
	regionPrefix string // "" is the partition of every other region
	suffix       string // of registries
	dualHosts    string // of dual-stack registries, "" where there are none
}

// partitions lists all partitions, the most common one last because its prefix matches every
// region. Source: partitions.json of aws-sdk-go-v2; a test compares them.
func partitions() [8]partition {
	return [8]partition{
		{"aws-us-gov", "us-gov-", "amazonaws.com", "on.aws"},
		{"aws-cn", "cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn"},
		{"aws-eusc", "eusc-", "amazonaws.eu", ""},
		{"aws-iso", "us-iso-", "c2s.ic.gov", ""},
		{"aws-iso-b", "us-isob-", "sc2s.sgov.gov", ""},
		{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", ""},
		{"aws-iso-f", "us-isof-", "csp.hci.ic.gov", ""},
		{"aws", "", "amazonaws.com", "on.aws"},
	}
}

func partitionOf(region string) partition {
	var p partition
	for _, p = range partitions() {
		if strings.HasPrefix(region, p.regionPrefix) {
			break
		}
	}
	return p
}
