package salvage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// lay makes files whose content is the word.
func lay(t *testing.T, dir, word string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(word), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// stands reads the files of a folder, without folders in it.
func stands(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if !e.IsDir() {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(text)
		}
	}
	return all
}

// However far settle came before it was cut off, there is no "id" beside other
// data than its own, and a second call ends well.
func TestSettleCutOffAnywhere(t *testing.T) {
	old := []string{"ballast", "log", "map", "spool", "state", "id"}
	built := []string{"log", "map", "marks", "state", "id"}
	for step := range len(old) + 1 + len(built) {
		data := t.TempDir()
		lay(t, data, "old", old...)
		lay(t, data, "kept", "ca.sha256")
		lay(t, filepath.Join(data, unfinished), "new", built...)
		cut(t, data, old, built, step)
		now := stands(t, data)
		if id := now["id"]; id != "" {
			for name, word := range now {
				if word != id && word != "kept" {
					t.Errorf("after %d steps %s is %s beside an id that is %s", step, name, word, id)
				}
			}
		}
		if settled(data) {
			t.Errorf("after %d steps nothing seems to wait", step)
		}
		if err := settle(data); err != nil {
			t.Fatalf("after %d steps: %v", step, err)
		}
		now = stands(t, data)
		for _, name := range built {
			if now[name] != "new" {
				t.Errorf("after %d steps %s is %q", step, name, now[name])
			}
		}
		if len(now) != len(built)+1 || now["ca.sha256"] != "kept" || !settled(data) {
			t.Errorf("after %d steps there is %v", step, now)
		}
		if before := stands(t, filepath.Join(data, aside)); len(before) != len(old) {
			t.Errorf("after %d steps the old data is %v", step, before)
		}
	}
}

// cut does the first steps of settle.
func cut(t *testing.T, data string, old, built []string, steps int) {
	t.Helper()
	out := slices.Clone(old)
	slices.Reverse(out)
	in := filepath.Join(data, unfinished)
	if err := move(data, filepath.Join(data, aside), out[:min(steps, len(out))]); err != nil {
		t.Fatal(err)
	}
	if steps > len(out) {
		lay(t, in, "", emptied)
		if err := move(in, data, built[:steps-len(out)-1]); err != nil {
			t.Fatal(err)
		}
	}
}
