package rules

import (
	"errors"
	"log/slog"

	"quorumta/internal/config"
)

// Check finds what is wrong in a file with what only the rooms can read: retry
// steps and errors, templates of reports, users of this machine. The error is a config.Faults where it
// is the operator's.
func Check(f *config.File) error {
	var all config.Faults
	_, retries := Retry(f)
	_, reports := Reports(f, slog.Default())
	_, transports := Transports(f)
	for _, err := range []error{retries, reports, transports} {
		var faults config.Faults
		if err != nil && !errors.As(err, &faults) {
			return err
		}
		all = append(all, faults...)
	}
	if len(all) > 0 {
		return all
	}
	return nil
}
