// Package fetch brings a snapshot to a member before Raft is told to install
// it (PROTOCOL 5): what goes on Raft's wire is a manifest, whose chunks the
// member has fetched in its own time, so that neither side's main loop waits
// for them.
//
// An Agent has Raft's snapshot store: on the leader Open pins a view and gives
// out its manifest, on the follower the sinks take a manifest for what was
// fetched. In between the leader asks the follower to fetch until it has all
// (Send), and the follower asks for chunks (Fetcher).
package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// What replicas ask each other: a kind, then
//
//	'F'  the manifest; the answer is a progress in JSON
//	'C'  id 16 bytes, chunk 4 bytes, big endian; the answer is the chunk
const (
	askFetch = 'F'
	askChunk = 'C'

	chunkTimeout = 30 * time.Second
	chunkTries   = 3
	// askedLife is for how long a snapshot counts as wanted after it was last
	// asked about: while it is fetched that is every sendPoll, and once it is
	// there until Raft's main loop has come to it.
	askedLife = 5 * time.Second
	// fetchRate leaves the disks to the mail, bytes a second.
	fetchRate = 64 << 20

	// magic begins every manifest, and no stream (package transfer).
	magic = "QTSM"
	// manifestMost is the length of the longest, bytes.
	manifestMost = 16 << 20
)

// ErrDamaged: a chunk is not what its manifest says.
var ErrDamaged = errors.New("damaged on the way")

// IsManifest reports whether what begins with b, 4 bytes at least, is one.
func IsManifest(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// Stock is what has snapshots that can be fetched, and where they are fetched
// to. Its methods may be called from any goroutine.
type Stock interface {
	// Pin returns the manifest of a view that has applied the index at least, and
	// the length of what it stands for.
	Pin(ctx context.Context, index uint64) (manifest []byte, size int64, err error)
	// Chunk is a chunk of the view that is pinned under the id.
	Chunk(id [16]byte, i int) ([]byte, error)
	// Resume goes on with what the manifest says, where it was left.
	Resume(manifest []byte) (id [16]byte, d Download, err error)
	// Take makes what was fetched the data of a new snapshot.
	Take(sink raft.SnapshotSink, manifest []byte) error
}

// Download is a snapshot that arrives in chunks; one goroutine uses it.
type Download interface {
	// Next is the chunk to fetch now; ok is false when all are there.
	Next() (i int, ok bool)
	// Add stores it, or fails with ErrDamaged.
	Add(chunk []byte) error
	// Finish makes the whole durable.
	Finish() error
	// Close keeps what is there.
	Close() error
}

// progress is how far a member has come with what it fetches.
type progress struct {
	Have  int    `json:"have"` // chunks
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"` // why it stopped; it goes on when it is asked again
}

// calls asks another replica of the shard.
type calls func(ctx context.Context, request []byte) ([]byte, error)

// ask has the member fetch what the manifest says, and returns how far it is.
func ask(ctx context.Context, call calls, manifest []byte) (p progress, err error) {
	answer, err := call(ctx, append([]byte{askFetch}, manifest...))
	if err == nil {
		err = json.Unmarshal(answer, &p)
	}
	return p, err
}

// Fetcher fetches one snapshot at a time, since all arrive in the same place.
// Its methods may be called from any goroutine.
type Fetcher struct {
	stock Stock

	mu      sync.Mutex // guards the rest
	what    [32]byte   // SHA-256 of the manifest
	at      progress
	asked   time.Time // when it was last asked about what
	running bool
	taking  bool // what was fetched is being made a snapshot
	cancel  context.CancelFunc
	taken   int
}

// New fetches into the stock.
func New(stock Stock) *Fetcher { return &Fetcher{stock: stock} }

// serve answers what other replicas ask; call asks back who asks; start runs
// what is to go on after the answer.
func (f *Fetcher) serve(request []byte, call calls, start func(func(context.Context)) bool) ([]byte, error) {
	if len(request) == 0 {
		return nil, errors.New("the request is empty")
	}
	switch kind, body := request[0], request[1:]; {
	case kind == askFetch:
		if !IsManifest(body) {
			return nil, errors.New("the request has no manifest")
		}
		return json.Marshal(f.fetch(bytes.Clone(body), call, start))
	case kind == askChunk && len(body) == 20:
		return f.stock.Chunk([16]byte(body[:16]), int(binary.BigEndian.Uint32(body[16:])))
	}
	return nil, fmt.Errorf("a request of kind %q is not known", request[0])
}

// fetch begins to fetch, or goes on, and says how far it is. Two leaders, or two
// goroutines of one, may ask for two snapshots: the second waits for as long as
// the first goes on asking, or each would end what the other has begun.
func (f *Fetcher) fetch(manifest []byte, call calls, start func(func(context.Context)) bool) progress {
	what, now := sha256.Sum256(manifest), time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := (f.running || f.at.Done) && now.Sub(f.asked) < askedLife
	switch {
	case f.taking || f.what != what && wanted:
		return progress{}
	case f.what != what && f.running:
		f.cancel() // nobody waits for it any more; the next time this one begins
		return progress{}
	}
	f.asked = now
	switch {
	case f.what == what && (f.running || f.at.Done):
		return f.at
	case f.what == what && f.at.Error != "":
		told := f.at // once; when it is asked again it goes on
		f.at.Error = ""
		return told
	}
	f.what, f.at, f.cancel = what, progress{}, func() {}
	f.running = start(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		f.mu.Lock()
		f.cancel = cancel
		f.mu.Unlock()
		err := f.run(ctx, manifest, call)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = false
		if f.at.Done = err == nil; err != nil {
			f.at.Error = err.Error()
		}
	})
	return progress{}
}

// run fetches what is missing.
func (f *Fetcher) run(ctx context.Context, manifest []byte, call calls) error {
	id, d, err := f.stock.Resume(manifest)
	if err != nil {
		return err
	}
	began, size := time.Now(), 0
	for {
		i, more := d.Next()
		f.note(i)
		if !more {
			return d.Finish()
		}
		n, err := one(ctx, d, id, i, call)
		if err != nil {
			return errors.Join(err, d.Close())
		}
		size += n
		select {
		case <-time.After(time.Duration(size)*time.Second/fetchRate - time.Since(began)):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), d.Close())
		}
	}
}

// one fetches a chunk and returns its length; one that arrives damaged is
// fetched again.
func one(ctx context.Context, d Download, id [16]byte, i int, call calls) (n int, err error) {
	request := binary.BigEndian.AppendUint32(append([]byte{askChunk}, id[:]...), uint32(i))
	for range chunkTries {
		within, cancel := context.WithTimeout(ctx, chunkTimeout)
		chunk, err := call(within, request)
		cancel()
		if err != nil {
			return 0, fmt.Errorf("fetch chunk %d: %w", i, err)
		}
		if err = d.Add(chunk); !errors.Is(err, ErrDamaged) {
			return len(chunk), err
		}
	}
	return 0, fmt.Errorf("fetch chunk %d: %w", i, ErrDamaged)
}

func (f *Fetcher) note(have int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at.Have = have
}

// take has use make a snapshot of what the manifest says, if that has been
// fetched; nothing else is fetched meanwhile. It can be taken once.
func (f *Fetcher) take(manifest []byte, use func() error) error {
	f.mu.Lock()
	if f.what != sha256.Sum256(manifest) || !f.at.Done || f.taking {
		f.mu.Unlock()
		return errors.New("the snapshot was not fetched")
	}
	f.at, f.taking = progress{}, true
	f.mu.Unlock()
	err := use()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taking = false
	if err == nil {
		f.taken++
	}
	return err
}

// Taken is how many of the snapshots that were fetched have been installed.
func (f *Fetcher) Taken() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}
