package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
)

// firstStart reads the one-time file beside the configuration; the zero value
// where there is none, as after the first start.
func firstStart(f *config.File) (setup.FirstStart, error) {
	var first setup.FirstStart
	path := filepath.Join(filepath.Dir(f.Path()), setup.FirstStartFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return first, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &first)
	}
	if err != nil {
		return first, fmt.Errorf("read the file of the first start: %w", err)
	}
	if first.Node != f.Node {
		return first, fmt.Errorf("%s is for node %s, this is %s: take the file that init wrote for %[3]s", path, first.Node, f.Node)
	}
	return first, nil
}

// keepFirstStart moves the one-time file into the data directory: from now on
// the identity there is the truth, and a lost data directory is not mistaken
// for a new one.
func keepFirstStart(f *config.File) error {
	from := filepath.Join(filepath.Dir(f.Path()), setup.FirstStartFile)
	err := os.Rename(from, filepath.Join(f.Data, setup.FirstStartFile))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// Another file system: copying is as good, as long as the first goes.
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("keep the file of the first start: %w", err)
	}
	if err := os.WriteFile(filepath.Join(f.Data, setup.FirstStartFile), text, 0o600); err != nil {
		return fmt.Errorf("keep the file of the first start: %w", err)
	}
	return os.Remove(from)
}
