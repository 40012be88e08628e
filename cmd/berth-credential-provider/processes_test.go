//go:build !e2e

package main

import "github.com/berth-registry/berth/test/fakes/fakeaws"

// processes is how many start at once; with the tag e2e it is as many as a
// large node has images.
const processes = 200

func failures() map[string][]fakeaws.Fault {
	return map[string][]fakeaws.Fault{
		"500":    {{Point: fakeaws.ECR, Status: 500}},
		"denied": {{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
	}
}
