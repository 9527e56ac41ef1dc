package peers

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"quorumta/bench/subject"
)

//go:embed config
var config embed.FS

// names are the peers, in the order of tables.
var names = []string{"postfix", "exim", "exim-queue", "opensmtpd", "haraka", "chasquid"}

// Names are the peers that there are.
func Names() []string { return append([]string(nil), names...) }

// settings are what configurations are written with.
type settings struct {
	Dir              string
	Host, Port       string
	HopHost, HopPort string
	QueueOnly        bool
}

// newSettings draws a port for a peer.
func newSettings(p subject.Place) (s settings, address string, err error) {
	address, err = subject.FreeAddress()
	if err != nil {
		return s, "", err
	}
	s.Dir = p.Dir
	s.Host, s.Port, err = net.SplitHostPort(address)
	if err == nil {
		s.HopHost, s.HopPort, err = net.SplitHostPort(p.Hop)
	}
	return s, address, err
}

// write writes a configuration file from its template.
func (s settings) write(from, to string) error {
	t, err := template.ParseFS(config, "config/"+from)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return err
	}
	path := filepath.Join(s.Dir, to)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// Install makes a peer ready to be measured: its room is below dir, and kept
// there for the next time.
func Install(ctx context.Context, dir, name string) (subject.Kind, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return subject.Kind{}, err
	}
	switch name {
	case "postfix":
		return debian(ctx, dir, name, "postfix", postfix)
	case "exim":
		return debian(ctx, dir, name, "exim4-daemon-heavy", exim)
	case "exim-queue":
		return debian(ctx, dir, name, "exim4-daemon-heavy", eximQueue)
	case "opensmtpd":
		return debian(ctx, dir, name, "opensmtpd", opensmtpd)
	case "chasquid":
		return debian(ctx, dir, name, "chasquid", chasquid)
	case "haraka":
		return installHaraka(ctx, dir)
	}
	return subject.Kind{}, fmt.Errorf("no peer is called %q: there are %v", name, names)
}

// debian is a peer that is a Debian package.
func debian(ctx context.Context, dir, name, packet string, setUp func(*room, subject.Place) (subject.Subject, error)) (subject.Kind, error) {
	r, err := openRoom(ctx, filepath.Join(dir, packet), installScript, packet)
	if err != nil {
		return subject.Kind{}, err
	}
	return subject.Kind{Name: name, New: func(p subject.Place) (subject.Subject, error) { return setUp(r, p) }}, nil
}

// daemon is a peer that is one command in the foreground in its room.
func (r *room) daemon(name, dir, address string, args ...string) *subject.Daemon {
	return &subject.Daemon{Name: name, Dir: dir, Address: address,
		Command: func() *exec.Cmd { return r.command(args...) }}
}
