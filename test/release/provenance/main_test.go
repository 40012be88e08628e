package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestStatement: it is an in-toto statement with SLSA provenance about the files.
func TestStatement(t *testing.T) {
	digest := strings.Repeat("a1", 32)
	var out bytes.Buffer
	if err := run([]string{"v1.0.0", "c0ffee", "1700000000"}, strings.NewReader(digest+"  berth_1.0.0~rc.1-1_amd64.deb\n"+digest+"  berth-1.0.0.tgz\n"), &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type          string `json:"_type"`
		Subject       []subject
		PredicateType string
		Predicate     predicate
	}
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	p := got.Predicate
	switch {
	case got.Type != "https://in-toto.io/Statement/v1", got.PredicateType != "https://slsa.dev/provenance/v1":
		t.Errorf("types %q, %q", got.Type, got.PredicateType)
	case len(got.Subject) != 2 || got.Subject[1].Name != "berth-1.0.0.tgz" || got.Subject[1].Digest["sha256"] != digest:
		t.Errorf("subjects %v", got.Subject)
	case p.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"] != "c0ffee" || p.BuildDefinition.ExternalParameters["VERSION"] != "v1.0.0":
		t.Errorf("predicate %+v", p)
	}
}

func TestRefusedLists(t *testing.T) {
	for _, list := range []string{"", "berth\n", strings.Repeat("a", 64) + "  ../berth\n", strings.Repeat("a", 64) + "  be\"rth\n", "\\" + strings.Repeat("a", 64) + "  berth\n"} {
		if err := run([]string{"v1", "", "1"}, strings.NewReader(list), &bytes.Buffer{}); err == nil {
			t.Errorf("%q is accepted", list)
		}
	}
}
