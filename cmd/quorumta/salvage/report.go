package salvage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quorumta/cmd/quorumta/durable"
)

// reportFile says, in a data directory that was built, what it was built of. It
// is written first and stays: who was cut off reads it then.
const reportFile = "salvage.json"

// report is one of both.
type report struct {
	Recovered *Recovered `json:"recovered,omitempty"`
	Restored  *Restored  `json:"restored,omitempty"`
}

// command is what has written the report.
func (r report) command() string {
	if r.Restored != nil {
		return "quorumta cluster restore"
	}
	return "quorumta recover"
}

// write writes the report into a folder, durably.
func (r report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(dir, reportFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write what was done: %w", err)
	}
	return nil
}

// pending is the report of what was built and has not taken its place yet; ok is
// false where nothing was.
func pending(data string) (r report, ok bool, err error) {
	if settled(data) {
		return r, false, nil
	}
	// The file goes before the file "id".
	text, err := os.ReadFile(filepath.Join(data, unfinished, reportFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(data, reportFile))
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, true, fmt.Errorf("read what was cut off: %w", err)
	}
	return r, true, nil
}

// Check refuses data of which a part has gone aside for others to take its
// place.
func Check(data string) error {
	r, ok, err := pending(data)
	if err != nil || !ok {
		return err
	}
	return fmt.Errorf("%s was cut off at its very end, and %s is half the old data and half the new: run %s again, it goes on where it was",
		r.command(), data, r.command())
}

// Tidy removes what a recovery or a restore left that came to nothing. The
// caller's node runs on the data.
func Tidy(data string) error {
	return errors.Join(os.RemoveAll(filepath.Join(data, unfinished)), os.RemoveAll(filepath.Join(data, copied)))
}
