//go:build e2e

package main

import (
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const defaultProcesses = 400

func failures() map[string][]fakeaws.Fault {
	return map[string][]fakeaws.Fault{
		"500":       {{Point: fakeaws.ECR, Status: 500}},
		"denied":    {{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"}},
		"garbage":   {{Point: fakeaws.ECR, Body: "<html>"}},
		"throttled": {{Point: fakeaws.ECR, Status: 429, RetryAfter: 2 * time.Second}},
		"hanging":   {{Point: fakeaws.ECR, Hang: true}},
		// The metadata service recovers too late for the first process.
		"all hanging": {{Point: fakeaws.MetadataToken, Hang: true, Times: 2}, {Point: fakeaws.ECR, Hang: true}},
		"10 MB":       {{Point: fakeaws.ECR, Huge: 10 << 20}},
	}
}
