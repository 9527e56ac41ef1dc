package main

import (
	"path/filepath"

	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
)

// firstStart reads the one-time file beside the configuration; the zero value
// where there is none, as after the first start.
func firstStart(f *config.File) (setup.FirstStart, error) {
	return setup.ReadFirstStart(filepath.Dir(f.Path()), f.Node)
}

// keepFirstStart moves the one-time file into the data directory.
func keepFirstStart(f *config.File) error {
	return setup.KeepFirstStart(filepath.Dir(f.Path()), f.Data)
}
