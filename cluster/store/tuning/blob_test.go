package tuning

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// The node hears that a blob file cannot be written, and has time to end, before
// Pebble does: Pebble panics.
func TestAFailedBlobIsReportedBeforePebbleIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := &errorfs.Toggle{Injector: errorfs.ErrInjected.If(errorfs.Writes)}
		told := 0
		fs := blobs{errorfs.Wrap(vfs.NewMem(), fault), func(error) { told++ }}
		create := func(name string) vfs.File {
			f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			return f
		}
		table, blob := create("1.sst"), create("2.blob")
		if told != 0 {
			t.Error("told of a write that went well")
		}
		fault.On()
		if err := table.Sync(); err == nil || told != 0 {
			t.Errorf("a table: %v, told %d times; Pebble does that", err, told)
		}
		began := time.Now()
		if err := blob.Sync(); err == nil || told != 1 {
			t.Errorf("a blob file: %v, told %d times", err, told)
		}
		if held := time.Since(began); held != lastWords {
			t.Errorf("Pebble is told after %v", held)
		}
	})
}
