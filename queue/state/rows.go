package state

import (
	"fmt"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/parts"
	"quorumta/queue/state/roster"
)

// The rows of the key space, in the encoding of package codec: a field's
// number and type may never change.

// shard is the row about the shard itself.
type shard struct {
	counts Counts
	// last is the newest time of any applied group.
	last time.Time
	// days have closed history, ascending.
	days []uint32
	// suspension is in force unless its time is zero; era counts them.
	suspension Suspension
	era        uint32
}

// suspends reports whether a message that is free in the era has to wait.
func (s *shard) suspends(free uint32) bool { return !s.suspension.At.IsZero() && free != s.era }

func describeShard(f *codec.Fields, s *shard) {
	f.Uint64(1, &s.counts.Messages)
	f.Uint64(2, &s.counts.Held)
	f.Uint64(3, &s.counts.InFlight)
	f.Uint64(4, &s.counts.Content)
	f.Uint64(5, &s.counts.Uploads)
	f.Time(6, &s.last)
	f.Uint32s(7, &s.days)
	// Level 2 of the format; absent until the first Suspended.
	codec.Message(f, 8, &s.suspension, describeSuspension)
	f.Uint32(9, &s.era)
	f.Uint64(10, &s.counts.Free)
	f.Uint64(11, &s.counts.FreeHeld)
}

func describeSuspension(f *codec.Fields, s *Suspension) {
	f.Time(1, &s.At)
	codec.String(f, 2, &s.By)
	f.Time(3, &s.Backup)
}

// status is how far an open message is. It is rewritten by every group about
// the message.
type status struct {
	// size and parts are those of the content.
	size  int64
	parts uint32
	// records counts the records of the history, the Accepted included.
	records  uint32
	attempts uint32
	held     bool
	heldBy   string
	heldWhy  string
	hosts    []string
	// roster is the recipients, or the way to them.
	roster roster.Roster
	// free is the era that the message is free in; 0: in none.
	free uint32
}

func describeStatus(f *codec.Fields, s *status) {
	f.Int64(1, &s.size)
	f.Uint32(2, &s.parts)
	f.Uint32(3, &s.records)
	f.Uint32(4, &s.attempts)
	f.Bool(5, &s.held)
	codec.String(f, 6, &s.heldBy)
	codec.String(f, 7, &s.heldWhy)
	codec.Strings(f, 8, &s.hosts)
	s.roster.DescribeHead(f)
	f.Uint32(12, &s.free) // level 2 of the format
	s.roster.DescribeTail(f)
}

func describeRecord(f *codec.Fields, r *Record) {
	f.Time(1, &r.At)
	f.Uint64(2, &r.Term)
	codec.Message(f, 3, &r.Event, event.Describe)
}

// records is the row of a closed message: its records' rows, in order.
type records struct{ rows [][]byte }

func describeRecords(f *codec.Fields, r *records) { codec.Strings(f, 1, &r.rows) }

func describeClaim(f *codec.Fields, c *Claim) {
	f.Uint64(1, &c.Term)
	f.Time(2, &c.At)
	codec.Message(f, 3, &c.By, event.DescribeProcess)
	f.Uint32s(4, &c.Recipients)
}

// upload is the row of an upload.
type upload struct {
	submitter event.Submitter
	renewed   time.Time
	size      uint64
	// have are the recorded parts.
	have parts.Set
}

func describeUpload(f *codec.Fields, u *upload) {
	codec.Message(f, 1, &u.submitter, event.DescribeSubmitter)
	f.Time(2, &u.renewed)
	f.Uint64(3, &u.size)
	f.Bytes(4, (*[]byte)(&u.have))
}

func (u *upload) add(n uint32, size int) {
	u.have = u.have.With(n)
	u.size += uint64(size)
}

// complete reports whether exactly the parts below count are recorded, and
// have the size together.
func (u *upload) complete(count uint32, size int64) bool {
	var recorded, next uint32
	u.have.Each(func(n uint32) { recorded, next = recorded+1, n+1 })
	return recorded == count && next == count && u.size == uint64(size)
}

// read reads a row. A row that cannot be read means that our own state is
// damaged or of another version: nothing may be built on it.
func read[T any](r Reader, key []byte, describe func(*codec.Fields, *T)) (*T, bool) {
	row, ok := r.Get(key)
	if !ok {
		return nil, false
	}
	v := parse(key, row, describe)
	return &v, true
}

func parse[T any](key, row []byte, describe func(*codec.Fields, *T)) T {
	var v T
	mustRead(key, codec.Decode(row, &v, describe))
	return v
}

func mustRead(key []byte, err error) {
	if err != nil {
		panic(fmt.Sprintf("state: row %q cannot be read: %v", key, err))
	}
}
