package peers

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/bench/subject"
)

// Every configuration says where mail is taken and where it goes, and leaves no
// blank unfilled.
func TestConfigurationsAreWhole(t *testing.T) {
	s, address, err := newSettings(subject.Place{Dir: t.TempDir(), Hop: "127.0.0.77:2626"})
	if err != nil || s.HopHost != "127.0.0.77" || s.HopPort != "2626" || s.Host+":"+s.Port != address {
		t.Fatalf("%+v at %s, %v", s, address, err)
	}
	files, err := fs.Glob(config, "config/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasSuffix(name, ".sh") {
			continue
		}
		if err := s.write(name, name); err != nil {
			t.Error(err)
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil || len(text) == 0 || strings.Contains(string(text), "{{") || strings.Contains(string(text), "<no value>") {
			t.Errorf("%s is\n%s\n%v", name, text, err)
		}
	}
}

func TestUnknownPeer(t *testing.T) {
	if _, err := Install(t.Context(), t.TempDir(), "sendmail"); err == nil || !strings.Contains(err.Error(), "postfix") {
		t.Errorf("%v: names of peers are expected", err)
	}
}

// What would be below its own layer cannot be a room.
func TestRoomsLieElsewhere(t *testing.T) {
	if _, err := openRoom(t.Context(), "/var/tmp/rooms", installScript, "none"); err == nil {
		t.Error("a room under /var was opened")
	}
}
