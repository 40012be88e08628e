package ecr

// InRegion returns a registry without host and account, to get a token of service s in a region
// from its standard endpoint. It reports false for an unknown service and a malformed region.
func InRegion(s Service, region string) (Registry, bool) {
	if !isRegion(region) || s == Public && region != publicRegion || s != Public && s != Private {
		return Registry{}, false
	}
	return Registry{Region: region, Partition: partitionOf(region).id, Public: s == Public}, true
}
