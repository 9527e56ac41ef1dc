package sink

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// Seen is one message at one recipient.
type Seen struct {
	ID        string    `json:"id"`
	Recipient string    `json:"recipient"`
	Copies    int       `json:"copies"`
	First     time.Time `json:"first"`
	// Helo is what the client called itself that brought the first copy.
	Helo string `json:"helo,omitempty"`
}

// Stats are the sink's counters.
type Stats struct {
	// Messages counts final dots answered with 250 and counted, of messages
	// that bear an id; Recipients the different pairs of id and recipient;
	// Copies all of them, with repetitions.
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	Copies     int64 `json:"copies"`
	// Foreign counts messages without an id.
	Foreign int64 `json:"foreign"`
	// Deferred, Rejected, Closed and Dropped count what a mode did.
	Deferred int64 `json:"deferred"`
	Rejected int64 `json:"rejected"`
	Closed   int64 `json:"closed"`
	Dropped  int64 `json:"dropped"`
	// Overflow counts pairs that were not remembered for want of room: a
	// verdict on such a run is worth nothing.
	Overflow int64 `json:"overflow"`
	// Connections counts those taken, Bytes the content. Open is how many there
	// are that have not said QUIT, Peak the most there were.
	Connections int64 `json:"connections"`
	Bytes       int64 `json:"bytes"`
	Open        int64 `json:"open"`
	Peak        int64 `json:"peak"`
}

// tally remembers what was seen in some 80 bytes each.
type tally struct {
	mu    sync.Mutex // guards all below
	stats Stats
	seen  map[pair]visit
	// names gives the parts of ids and the recipients their numbers, list
	// the other way.
	names map[string]uint32
	list  []string
	start time.Time
	limit int
}

// pair is a message, by the run that its id begins with and its number there,
// and a recipient. Of an id that does not look so, run is the whole and number
// is plain.
type pair struct{ run, number, recipient uint32 }

// visit is how often, and when and by whom first: nanoseconds after
// tally.start, and a name's number.
type visit struct {
	first  int64
	copies uint32
	helo   uint32
}

const plain = ^uint32(0)

func newTally(limit int) *tally {
	return &tally{seen: map[pair]visit{}, names: map[string]uint32{}, start: time.Now(), limit: limit}
}

// count counts one transaction; id is "" for a foreign message.
func (t *tally) count(id, helo string, recipients []string, bytes int64) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Bytes += bytes
	if id == "" {
		t.stats.Foreign++
		return
	}
	t.stats.Messages++
	run, number := t.splitLocked(id)
	by := t.numberLocked(helo)
	for _, r := range recipients {
		p := pair{run, number, t.numberLocked(r)}
		v, known := t.seen[p]
		if !known && len(t.seen) >= t.limit {
			t.stats.Overflow++
			continue
		}
		if !known {
			v.first, v.helo = int64(now.Sub(t.start)), by
			t.stats.Recipients++
		}
		v.copies++
		t.stats.Copies++
		t.seen[p] = v
	}
}

// add changes a counter under the lock.
func (t *tally) add(f func(*Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.stats)
}

// splitLocked takes "run-123" apart.
func (t *tally) splitLocked(id string) (run, number uint32) {
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		n, err := strconv.ParseUint(id[i+1:], 10, 32)
		if err == nil && uint32(n) != plain && strconv.FormatUint(n, 10) == id[i+1:] {
			return t.numberLocked(id[:i]), uint32(n)
		}
	}
	return t.numberLocked(id), plain
}

// numberLocked is the name's number. Names beyond the limit share one: memory
// stays bounded when every message brings a recipient of its own.
func (t *tally) numberLocked(name string) uint32 {
	n, ok := t.names[name]
	if ok {
		return n
	}
	if len(t.list) > t.limit {
		t.stats.Overflow++
		return plain
	}
	n = uint32(len(t.list))
	name = strings.Clone(name)
	t.names[name] = n
	t.list = append(t.list, name)
	return n
}

func (t *tally) snapshot() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// each calls f for what was seen, in no order. It holds the lock: f is quick.
func (t *tally) each(f func(Seen) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, v := range t.seen {
		if p.run == plain || p.recipient == plain {
			continue
		}
		id := t.list[p.run]
		if p.number != plain {
			id += "-" + strconv.FormatUint(uint64(p.number), 10)
		}
		s := Seen{ID: id, Recipient: t.list[p.recipient], Copies: int(v.copies),
			First: t.start.Add(time.Duration(v.first)).UTC()}
		if v.helo != plain {
			s.Helo = t.list[v.helo]
		}
		err := f(s)
		if err != nil {
			return err
		}
	}
	return nil
}
