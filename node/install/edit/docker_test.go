package edit

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestDockerFeature sets the feature in daemon.json and removes it again: every other byte stays.
func TestDockerFeature(t *testing.T) {
	for name, c := range map[string]struct{ before, after, removed string }{
		"no file":         {"", "{\n  \"features\": {\"containerd-snapshotter\": true}\n}\n", "{\n  \n}\n"},
		"empty":           {"{}", "{\n  \"features\": {\"containerd-snapshotter\": true}}", "{\n  }"},
		"other settings":  {"{\n  \"log-driver\": \"local\"\n}\n", "{\n  \"features\": {\"containerd-snapshotter\": true},\n  \"log-driver\": \"local\"\n}\n", "{\n  \"log-driver\": \"local\"\n}\n"},
		"other features":  {`{"features": {"buildkit": true}, "x": "}"}`, `{"features": {"containerd-snapshotter": true, "buildkit": true}, "x": "}"}`, `{"features": {"buildkit": true}, "x": "}"}`},
		"empty features":  {`{"a": 1, "features": {}}`, `{"a": 1, "features": {"containerd-snapshotter": true}}`, `{"a": 1}`},
		"off":             {`{"features": {"a": false, "containerd-snapshotter": false}}`, `{"features": {"a": false, "containerd-snapshotter": true}}`, `{"features": {"a": false}}`},
		"quotes in names": {`{"a\"b": 1}`, "{\n  \"features\": {\"containerd-snapshotter\": true},\"a\\\"b\": 1}", `{` + "\n  " + `"a\"b": 1}`},
	} {
		t.Run(name, func(t *testing.T) {
			after, _, err := SetDockerFeature([]byte(c.before), true)
			if err != nil || string(after) != c.after {
				t.Fatalf("%q, %v", after, err)
			}
			removed, err := removeDockerFeature(after)
			if err != nil || string(removed) != c.removed || !json.Valid(removed) {
				t.Errorf("removed: %q, %v", removed, err)
			}
		})
	}
	for _, bad := range []string{"[]", "{", `{"features": 1}`, `{"features": {"containerd-snapshotter": "yes"}}`, `{"a": 1, "a": 2}`, "{} {}"} {
		if after, _, err := SetDockerFeature([]byte(bad), true); err == nil {
			t.Errorf("%s became %s", bad, after)
		}
	}
}

func FuzzDockerFeature(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"a": {"b": [1, "}"]}, "features": {"x": true}}`, `{"features": {"containerd-snapshotter": false}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		after, before, err := SetDockerFeature(content, true)
		if err != nil {
			return
		}
		var got struct{ Features map[string]any }
		if err := json.Unmarshal(after, &got); err != nil || got.Features["containerd-snapshotter"] != true {
			t.Fatalf("%q became %q, %v", content, after, err)
		}
		again, _, err := SetDockerFeature(after, true)
		if err != nil || !bytes.Equal(again, after) {
			t.Fatalf("a second time: %q, %v", again, err)
		}
		removed, err := removeDockerFeature(after)
		if err != nil {
			t.Fatalf("%q: %v", after, err)
		}
		if len(bytes.TrimSpace(content)) > 0 && before == nil {
			if err := checkOthers(content, removed); err != nil {
				t.Fatalf("%q became %q: %v", content, removed, err)
			}
		}
	})
}
