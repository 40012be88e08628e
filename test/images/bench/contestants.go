package main

import (
	"context"
	"os/exec"

	"github.com/berth-registry/berth/test/images/trial"
)

// contestants are the ways to copy the set to a registry. crane and skopeo get every tag of the set,
// also those of signatures and lists, which berth finds by itself; regsync gets the repositories.
func contestants(ctx context.Context, fixture *trial.Fixture, s settings, p peers) []*contestant {
	source := fixture.Source.Addr()
	between := func(prefix, target string) func(int, string) string {
		return func(_ int, tag string) string { return prefix + source + "/" + tag + " " + prefix + target + "/" + tag }
	}
	all := []*contestant{
		{row: "**berth images copy**", ours: true, args: func(target string) []string { return fixture.Command(ctx, target).Args }},
		{row: p.crane.name, args: func(target string) []string {
			return p.perTag(fixture, s, "crane.txt", between("", target), p.crane.path, "copy", "--insecure")
		}},
		{row: p.regsync.name, args: func(target string) []string { return p.regsyncOnce(fixture, s, source, target) }},
		{row: p.skopeo.name, args: func(target string) []string {
			return p.perTag(fixture, s, "skopeo.txt", between("docker://", target), p.skopeoCopy()...)
		}},
	}
	if s.other != "" {
		all = append(all, &contestant{row: "the other berth", beside: true, args: func(target string) []string {
			return s.otherArgs(fixture.Command(ctx, target))
		}})
	}
	return all
}

// otherArgs returns the arguments of a command of berth with the other program.
func (s settings) otherArgs(cmd *exec.Cmd) []string {
	return append([]string{s.other}, cmd.Args[1:]...)
}
