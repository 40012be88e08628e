//go:build !e2e

package main

import "github.com/berth-registry/berth/test/fakes/fakeaws"

// processes is how many processes start at once. All of them together have to end well within the 20 s
// that one of them may take for its request: with the tag e2e they are more, and a slow machine
// needs 8 s for them.
const processes = 200

func failures() map[string][]fakeaws.Fault {
	return map[string][]fakeaws.Fault{
		"500":    {{Point: fakeaws.ECR, Status: 500}},
		"denied": {{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
	}
}
