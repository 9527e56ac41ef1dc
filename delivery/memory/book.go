package memory

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// Key names what fails.
type Key string

// Host is the key of a host's address, "192.0.2.1:25" or "[2001:db8::1]:25".
func Host(name, address string) Key { return Key("host " + strings.ToLower(name) + " " + address) }

// Address is the key of a recipient, or of one with a sender.
func Address(rcpt, sender string) Key { return Key("rcpt " + rcpt + " " + sender) }

// HostName is the host's name in the key of one.
func (k Key) HostName() (name string, ok bool) {
	rest, ok := strings.CutPrefix(string(k), "host ")
	name, _, _ = strings.Cut(rest, " ")
	return name, ok
}

// Failure is what is known of something that fails.
type Failure struct {
	// First and Last are its first failure since it last worked, and its newest.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Next is when it may be tried again by the retry rules; zero where none has
	// been asked.
	Next time.Time `json:"next"`
	// Past says that the rule's last cut-off has passed: what is for it fails,
	// but for a probe now and then.
	Past  bool            `json:"past,omitempty"`
	Kind  event.ErrorKind `json:"kind"`
	Reply mail.Reply      `json:"reply"`
	// Node is who told.
	Node string `json:"node,omitempty"`
}

// Entry is what one node tells another.
type Entry struct {
	Key Key `json:"key"`
	Failure
	// Gone says that it worked, at Last.
	Gone bool `json:"gone,omitempty"`
	// With are other keys that are good again with it: the hosts of its site.
	With []Key `json:"with,omitempty"`
}

const (
	// mostEntries bounds the memory.
	mostEntries = 50_000
	// maxText is how much is kept of a reply.
	maxText = 200
	// mourning is how long it is remembered that something works again, so that
	// older news of its failure do not bring that back.
	mourning = 5 * time.Minute
)

// Book is the memory of one node; safe for concurrent use.
type Book struct {
	o Options

	mu      sync.Mutex
	entries map[Key]Entry
	// news are keys that the others are to be told of; stirred has a value when
	// there are some.
	news    map[Key]bool
	stirred chan struct{}
	expiry  time.Duration
	back    func(keys []Key)
}

// New makes an empty memory.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{
		o: o, entries: map[Key]Entry{}, news: map[Key]bool{}, stirred: make(chan struct{}, 1),
		expiry: 7 * 24 * time.Hour, back: func([]Key) {},
	}
}

// Expire sets after what time without news something is forgotten; 7 days.
func (b *Book) Expire(after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expiry = after
}

// OnBack sets what is called when something works again, here or at another node:
// with its key, and those that are good with it. It returns at once.
func (b *Book) OnBack(f func(keys []Key)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.back = f
}

// Failed notes a failure.
func (b *Book) Failed(key Key, kind event.ErrorKind, reply mail.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	e, known := b.getLocked(key, now)
	if !known {
		e = Entry{Key: key, Failure: Failure{First: now}}
	}
	if len(reply.Text) > maxText {
		reply.Text = strings.ToValidUTF8(reply.Text[:maxText], "")
	}
	e.Last, e.Kind, e.Reply, e.Node = now, kind, reply, b.o.Name
	b.setLocked(e, true)
}

// Wait notes what the retry rules say of things that fail: when they are due,
// and whether their last cut-off has passed.
func (b *Book) Wait(keys []Key, next time.Time, past bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for _, key := range keys {
		if e, ok := b.getLocked(key, now); ok {
			e.Next, e.Past = next, past
			b.setLocked(e, true)
		}
	}
}

// Worked notes that something works; with are the keys that are good with it,
// itself among them. It costs little where nothing is known against it.
func (b *Book) Worked(key Key, with []Key) {
	b.mu.Lock()
	now := b.o.Now()
	_, known := b.getLocked(key, now)
	back := b.back
	if known {
		b.setLocked(Entry{Key: key, Failure: Failure{Last: now, Node: b.o.Name}, Gone: true, With: with}, true)
	}
	b.mu.Unlock()
	if known {
		back(with)
	}
}

// Get is what is known against something.
func (b *Book) Get(key Key) (Failure, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.getLocked(key, b.o.Now())
	return e.Failure, ok
}

// Together is what is known against things of which each would do: it fails when
// all of them do, since the last of them began to, until the first is due.
func (b *Book) Together(keys []Key) (f Failure, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for i, key := range keys {
		e, known := b.getLocked(key, now)
		if !known {
			return Failure{}, false
		}
		if i == 0 {
			f = e.Failure
			continue
		}
		if e.First.After(f.First) {
			f.First = e.First
		}
		if e.Next.Before(f.Next) {
			f.Next, f.Kind, f.Reply = e.Next, e.Kind, e.Reply
		}
		f.Past = f.Past && e.Past
	}
	return f, len(keys) > 0
}

// Named is what is known against a host by its name: of its addresses, that which
// failed last.
func (b *Book) Named(host string) (f Failure, address string, ok bool) {
	prefix := "host " + strings.ToLower(host) + " "
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for key := range b.entries {
		if !strings.HasPrefix(string(key), prefix) {
			continue
		}
		if e, bad := b.getLocked(key, now); bad && (!ok || e.Last.After(f.Last)) {
			f, address, ok = e.Failure, string(key[len("host "):]), true
		}
	}
	return f, address, ok
}

// Len counts what is known to fail.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.entries {
		if !e.Gone {
			n++
		}
	}
	return n
}

// getLocked is an entry that speaks of a failure and is not too old.
func (b *Book) getLocked(key Key, now time.Time) (Entry, bool) {
	e, ok := b.entries[key]
	return e, ok && !e.Gone && now.Sub(e.Last) < b.expiry
}

func (b *Book) setLocked(e Entry, tell bool) {
	if _, known := b.entries[e.Key]; !known && len(b.entries) >= mostEntries {
		b.forgetLocked()
	}
	b.entries[e.Key] = e
	if !tell {
		return
	}
	b.news[e.Key] = true
	select {
	case b.stirred <- struct{}{}:
	default: // somebody looks already
	}
}

// forgetLocked drops what has passed, and where that is not enough the oldest
// half.
func (b *Book) forgetLocked() {
	now := b.o.Now()
	maps.DeleteFunc(b.entries, func(_ Key, e Entry) bool {
		return now.Sub(e.Last) >= b.expiry || e.Gone && now.Sub(e.Last) >= mourning
	})
	if len(b.entries) < mostEntries*3/4 {
		return
	}
	times := make([]time.Time, 0, len(b.entries))
	for _, e := range b.entries {
		times = append(times, e.Last)
	}
	slices.SortFunc(times, time.Time.Compare)
	middle := times[len(times)/2]
	maps.DeleteFunc(b.entries, func(_ Key, e Entry) bool { return !e.Last.After(middle) })
}
