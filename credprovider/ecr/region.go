package ecr

// InRegion gives what to ask a token of service s in a region for, when no
// registry is named: it has no host and no account, and is asked at the plain
// endpoint. It reports false for what is no service or cannot be a region.
func InRegion(s Service, region string) (Registry, bool) {
	if !isRegion(region) || s == Public && region != publicRegion || s != Public && s != Private {
		return Registry{}, false
	}
	return Registry{Region: region, Partition: partitionOf(region).id, Public: s == Public}, true
}
