package owner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestDo: what is done as another user is that user's, and may no more; what
// others do meanwhile, and what is done later, is the node's.
func TestDo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	nobody, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret, open := filepath.Join(dir, "secret"), filepath.Join(dir, "open")
	if err := os.Mkdir(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		name := string(rune('a'+i/26)) + string(rune('a'+i%26))
		all.Go(func() {
			if err := nobody.Do(func() error { return os.WriteFile(filepath.Join(open, name), nil, 0o600) }); err != nil {
				t.Error(err)
			}
			if err := nobody.Do(func() error { return os.WriteFile(filepath.Join(secret, name), nil, 0o600) }); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("as nobody: %v", err)
			}
		})
		all.Go(func() {
			if err := os.WriteFile(filepath.Join(secret, name+".own"), nil, 0o600); err != nil {
				t.Errorf("as root: %v", err)
			}
		})
	}
	all.Wait()
	files, _ := os.ReadDir(open)
	for _, f := range files {
		info, err := f.Info()
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != nobody.UID() {
			t.Errorf("%s: %v, %v", f.Name(), info.Sys(), err)
		}
	}
	if len(files) != 50 {
		t.Errorf("%d files", len(files))
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{"nobody-of-that-name": "no user", "root:no-such-group": "no group"} {
		if _, err := Lookup(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, err := Lookup(""); err != nil || !o.self() || o.Credential() != nil {
		t.Errorf("%+v, %v", o, err)
	}
}
