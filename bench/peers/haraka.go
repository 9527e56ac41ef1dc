package peers

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"path/filepath"

	"quorumta/bench/subject"
)

//go:embed config/haraka.sh
var harakaScript string

// harakaPackage is the version that our figures belong to.
const harakaPackage = "Haraka@3.3.4"

func installHaraka(ctx context.Context, dir string) (subject.Kind, error) {
	dir = filepath.Join(dir, "haraka")
	r, err := openRoom(ctx, dir, harakaScript, harakaPackage, filepath.Join(dir, "npm"))
	if err != nil {
		return subject.Kind{}, err
	}
	modules := filepath.Join(dir, "npm", "node_modules")
	return subject.Kind{Name: "haraka", New: func(p subject.Place) (subject.Subject, error) { return haraka(r, modules, p) }}, nil
}

// haraka runs with two workers, and syncs its queue files.
func haraka(r *room, modules string, p subject.Place) (subject.Subject, error) {
	s, address, err := newSettings(p)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.write("haraka-smtp.ini", "config/smtp.ini"),
		s.write("haraka-outbound.ini", "config/outbound.ini"),
		s.write("haraka-bench.js", "plugins/bench.js"),
		os.MkdirAll(filepath.Join(p.Dir, "queue"), 0o755),
	)
	// It does not greet without its own.
	connection, missing := os.ReadFile(filepath.Join(modules, "Haraka", "config", "connection.ini"))
	err = errors.Join(err, missing, os.WriteFile(filepath.Join(p.Dir, "config", "connection.ini"), connection, 0o644))
	for name, text := range map[string]string{"plugins": "bench\n", "me": "haraka.test\n", "loglevel": "NOTICE\n", "host_list": ""} {
		err = errors.Join(err, os.WriteFile(filepath.Join(p.Dir, "config", name), []byte(text), 0o644))
	}
	if err != nil {
		return nil, err
	}
	program := filepath.Join(modules, ".bin", "haraka")
	return r.daemon("haraka", p.Dir, address, program, "-c", p.Dir), nil
}
