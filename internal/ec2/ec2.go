// Package ec2 recognises machines of Amazon EC2 and knows where their metadata service is.
//
// It reads a few files of /sys and sends no request. Start reading at [Detected].
package ec2

import (
	"os"
	"path/filepath"
	"strings"
)

// EnvMetadata names another metadata service than that of EC2.
const EnvMetadata = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

// metadataService is the address of the metadata service on every instance:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
const metadataService = "http://169.254.169.254"

// Metadata returns the base URL of the metadata service, without a slash at the end; named means
// that the environment names it.
func Metadata(getenv func(string) string) (base string, named bool) {
	if base := strings.TrimRight(getenv(EnvMetadata), "/"); base != "" {
		return base, true
	}
	return metadataService, false
}

// Detected reports whether the hardware of this machine names itself EC2. sys is /sys or a
// replacement for it. Source:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
//
// The first sign is for Nitro instances and readable by every user, the second only by root, the
// third is for Xen.
func Detected(sys string) bool {
	for file, prefix := range map[string]string{
		"class/dmi/id/sys_vendor":   "amazon ec2",
		"class/dmi/id/product_uuid": "ec2",
		"hypervisor/uuid":           "ec2",
	} {
		b, err := os.ReadFile(filepath.Join(sys, file))
		if err == nil && strings.HasPrefix(strings.ToLower(string(b)), prefix) {
			return true
		}
	}
	return false
}
