package security

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
	"quorumta/queue"
)

// pack makes a note's value of something.
func pack(v any) (string, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := json.NewEncoder(z).Encode(v); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// largest is how much a note may unpack to.
const largest = 1 << 20

// unpack reads what pack has made.
func unpack(value string, v any) error {
	z, err := gzip.NewReader(strings.NewReader(value))
	if err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(z, largest)).Decode(v)
}

// policies keeps those of MTA-STS as notes: "mta-sts/DOMAIN".
type policies struct{ queue *queue.Queue }

// Load implements mtasts.Cache.
func (p policies) Load(_ context.Context, domain string) (r mtasts.Remembered, ok bool) {
	note, ok := p.queue.Noted("mta-sts/" + domain)
	if !ok || unpack(note.Value, &r) != nil {
		return mtasts.Remembered{}, false
	}
	return r, true
}

// Store implements mtasts.Cache. A note that cannot be recorded now is by and
// by, or never: this node remembers in any case.
func (p policies) Store(ctx context.Context, domain string, r mtasts.Remembered) {
	if value, err := pack(r); err == nil {
		_ = p.queue.Note(ctx, "mta-sts/"+domain, value, r.Until)
	}
}

const (
	// keepCounts is how long counts outlive their day, and who reports them.
	keepCounts = 48 * time.Hour
	// mostCounted is how many domains a day has in the ledger: notes are for few
	// and small things.
	mostCounted = 2000
)

// ledger keeps counts as notes "tls-rpt/DAY/DOMAIN/NODE.BOOT", and who reports
// a day as "tls-rpt-by/DAY".
type ledger struct {
	queue *queue.Queue
	self  string // this run of this node
}

func newLedger(q *queue.Queue) ledger {
	p := q.Process()
	return ledger{q, p.Node + "." + strconv.FormatUint(p.Boot, 36)}
}

func prefix(day tlsrpt.Day) string { return fmt.Sprintf("tls-rpt/%d/", day) }

// Publish implements tlsrpt.Ledger.
func (l ledger) Publish(ctx context.Context, day tlsrpt.Day, domain string, counts tlsrpt.Counts) {
	key := prefix(day) + domain + "/" + l.self
	if _, known := l.queue.Noted(key); !known && len(l.queue.Notes(prefix(day))) >= mostCounted {
		return
	}
	if value, err := pack(counts); err == nil {
		_ = l.queue.Note(ctx, key, value, day.End().Add(keepCounts))
	}
}

// Collect implements tlsrpt.Ledger. The node that comes first writes its name
// down and reports the day. Nodes come at random times within hours; should two
// come within the same moment, both report the same under the same id. A node
// that cannot write it down reports what it knows, as its own.
func (l ledger) Collect(ctx context.Context, day tlsrpt.Day) (counts map[string]tlsrpt.Counts, all bool) {
	key := fmt.Sprintf("tls-rpt-by/%d", day)
	if by, ok := l.queue.Noted(key); ok && by.Value != l.self {
		return nil, true
	}
	alone := l.queue.Note(ctx, key, l.self, day.End().Add(keepCounts)) != nil
	if by, ok := l.queue.Noted(key); ok && by.Value != l.self {
		return nil, true
	}
	counts = map[string]tlsrpt.Counts{}
	for _, note := range l.queue.Notes(prefix(day)) {
		domain, node, _ := strings.Cut(strings.TrimPrefix(note.Key, prefix(day)), "/")
		var one tlsrpt.Counts
		if (!alone || node == l.self) && unpack(note.Value, &one) == nil {
			counts[domain] = counts[domain].Add(one)
		}
	}
	return counts, !alone
}
