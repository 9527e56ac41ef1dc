package intact

import (
	"fmt"
	"regexp"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileNumber is how Pebble names the file of a block that it could not read.
var fileNumber = regexp.MustCompile(`file (\d{6,})\b`)

// Named adds the damaged file to an error of the Pebble in the directory, where
// it tells which one.
func Named(fs vfs.FS, dir string, err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%s is damaged: %w", info.Path, err)
	}
	if number := fileNumber.FindStringSubmatch(err.Error()); number != nil && pebble.IsCorruptionError(err) {
		// Blob files come without their path.
		for _, kind := range []string{".blob", ".sst"} {
			path := fs.PathJoin(dir, number[1]+kind)
			if _, absent := fs.Stat(path); absent == nil {
				return fmt.Errorf("%s is damaged: %w", path, err)
			}
		}
	}
	return err
}
