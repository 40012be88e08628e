//go:build !e2e

package main

import "github.com/berth-registry/berth/test/fakeaws"

// processes is how many start at once. With the tag e2e it is the number of images on a large node.
const processes = 200

func failures() map[string][]fakeaws.Fault {
	return map[string][]fakeaws.Fault{
		"500":    {{Point: fakeaws.ECR, Status: 500}},
		"denied": {{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
	}
}
