package floor

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// journal is a file that content is appended to; what waits is written and
// synced together.
type journal struct {
	file *os.File
	wake chan struct{}

	mu      sync.Mutex
	waiting []entry
}

// entry is content in pieces and what to call when it is on disk.
type entry struct {
	pieces [2][]byte
	synced func()
}

// journalSize is where the file begins anew: the floor reads nothing back.
const journalSize = 1 << 30

func openJournal(path string) (*journal, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &journal{file: f, wake: make(chan struct{}, 1)}, nil
}

func (j *journal) append(e entry) {
	j.mu.Lock()
	j.waiting = append(j.waiting, e)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *journal) run(ctx context.Context) error {
	defer j.file.Close()
	var batch []entry
	var buffer []byte
	var size int
	for {
		select {
		case <-j.wake:
		case <-ctx.Done():
			return nil
		}
		j.mu.Lock()
		batch, j.waiting = j.waiting, batch[:0]
		j.mu.Unlock()
		buffer = buffer[:0]
		for _, e := range batch {
			buffer = append(append(buffer, e.pieces[0]...), e.pieces[1]...)
		}
		if size += len(buffer); size > journalSize {
			if _, err := j.file.Seek(0, 0); err != nil {
				return err
			}
			size = len(buffer)
		}
		if _, err := j.file.Write(buffer); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
			return fmt.Errorf("sync %s: %w", j.file.Name(), err)
		}
		for i, e := range batch {
			e.synced()
			batch[i] = entry{}
		}
	}
}
