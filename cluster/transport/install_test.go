package transport

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// standIn is what stands for a large snapshot.
type standIn struct {
	*bytes.Reader
	size int64
}

func (s standIn) StandsFor() int64 { return s.size }

// install sends a snapshot that ends at entry index of term 2, in place of which
// goes a word that stands for a state of the size.
func install(from *Transport, index uint64, size int64) (*raft.InstallSnapshotResponse, error) {
	from.o.Send = func(_ raft.ServerID, args *raft.InstallSnapshotRequest, _ io.Reader) (io.Reader, error) {
		args.Size = 5
		return standIn{bytes.NewReader([]byte("QTSM!")), size}, nil
	}
	req := &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, Term: 5, LastLogIndex: index, LastLogTerm: 2}
	var resp raft.InstallSnapshotResponse
	return &resp, from.InstallSnapshot("n2/i", "n2/i", req, &resp, nil)
}

// Who sends a manifest waits for as long as it takes to restore what it stands
// for, or all of it would be fetched once more.
func TestPatienceGrowsWithTheState(t *testing.T) {
	for _, c := range []struct {
		size   int64
		takes  time.Duration
		waited bool
	}{{1 << 30, 2 * time.Minute, true}, {1 << 20, 2 * Timeout, false}} {
		join(t, func(from, to *Transport) {
			go func() {
				rpc := <-to.Consumer()
				word, err := io.ReadAll(rpc.Reader)
				if err != nil || string(word) != "QTSM!" {
					t.Errorf("%q came, %v", word, err)
				}
				time.Sleep(c.takes)
				rpc.Respond(&raft.InstallSnapshotResponse{Term: 5, Success: true}, nil)
			}()
			resp, err := install(from, 40, c.size)
			if waited := err == nil && resp.Success; waited != c.waited {
				t.Errorf("%d bytes that are restored in %v: %+v, %v", c.size, c.takes, resp, err)
			}
			time.Sleep(c.takes)
		})
	}
}

// A snapshot that ends where the replica has an entry of the same term is
// answered as installed, and Raft does not see it: it would forget what came
// after.
func TestSnapshotThatIsHeldIsNotInstalled(t *testing.T) {
	join(t, func(from, to *Transport) {
		go func() {
			select {
			case <-to.Consumer():
				t.Error("Raft is told to install it")
			case <-to.done:
			}
		}()
		if resp, err := install(from, 30, 1<<20); err != nil || !resp.Success || resp.Term != 5 {
			t.Errorf("%+v, %v", resp, err)
		}
	})
}
