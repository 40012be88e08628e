//go:build !e2e

package main

import "github.com/berth-registry/berth/test/fakes/fakeaws"

const defaultProcesses = 200

func failures() map[string][]fakeaws.Fault {
	return map[string][]fakeaws.Fault{
		"500":    {{Point: fakeaws.ECR, Status: 500}},
		"denied": {{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
	}
}
