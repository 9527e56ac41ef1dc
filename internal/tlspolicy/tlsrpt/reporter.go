package tlsrpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// spread is the time after midnight in which reports go out, so that nobody
	// gets all of them at once (RFC 8460, section 4.1).
	spread = 4 * time.Hour
	// patience is how long a report is tried, retry how long after a first
	// failure it is tried again; that doubles (RFC 8460, section 5.5).
	patience = 24 * time.Hour
	retry    = 10 * time.Minute
	// postTime is what one HTTPS request may take.
	postTime = time.Minute
	// exchange is how often nodes tell each other what they have counted.
	exchange = 5 * time.Minute
	// lastWords is what that may take at the end.
	lastWords = 5 * time.Second
)

// Ledger holds the counts of all nodes, by day and domain. It may fail as it
// likes: then each node reports what it has counted itself.
type Ledger interface {
	// Publish gives all that this node has counted for a domain on a day,
	// instead of what it gave before.
	Publish(ctx context.Context, day Day, domain string, counts Counts)
	// Collect returns what has been counted on a day for the domains that this
	// node is to report, and whether it is that of all nodes: no other node is
	// told of it then.
	Collect(ctx context.Context, day Day) (counts map[string]Counts, all bool)
}

// Options say what a Reporter works with.
type Options struct {
	// From sends the mail; Contact is whom to ask.
	From, Contact string
	// Submitter is our domain, as reports name it; Node tells reports of
	// several nodes apart.
	Submitter, Node string
	// TXT looks texts up, the strings of each record joined; none where there
	// are none, an error where that is not known.
	TXT func(ctx context.Context, name string) ([]string, error)
	// Submit puts a message into our queue.
	Submit func(ctx context.Context, from, to string, content []byte) error
	// Dial connects to HTTPS hosts; nil: the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Client posts reports; nil means one that uses Dial.
	Client *http.Client
	// Ledger is nil where this node counts alone.
	Ledger Ledger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets what its owner should know; nil means slog.Default.
	Log *slog.Logger
}

func (o Options) filled() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Client == nil {
		o.Client = &http.Client{
			Timeout:   postTime,
			Transport: &http.Transport{DialContext: o.Dial, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		}
	}
	return o
}

// Reporter counts and reports; safe for concurrent use.
type Reporter struct {
	tally *Tally
	// pending are reports to be handed over; they belong to Run.
	pending []*pending

	mu sync.Mutex // guards what follows
	o  Options
	on bool
}

// pending is a report on its way.
type pending struct {
	Report
	next, until time.Time
	wait        time.Duration
}

// NewReporter makes a Reporter that does nothing until Set.
func NewReporter() *Reporter { return &Reporter{tally: NewTally()} }

// Set exchanges the options. Without a From nothing is counted or reported.
func (r *Reporter) Set(o Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.o, r.on = o.filled(), o.From != ""
}

func (r *Reporter) options() (Options, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.o, r.on
}

// Count counts a session.
func (r *Reporter) Count(s Session) {
	o, on := r.options()
	if on && s.Domain != "" {
		r.tally.Count(o.Now(), s)
	}
}

// Run reports each day after it is over, until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	day := Day(0) // the next one to be reported
	var at time.Time
	timer := time.NewTimer(exchange)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			r.publish(last)
			return nil
		case <-timer.C:
		}
		timer.Reset(exchange)
		o, on := r.options()
		if !on {
			continue
		}
		now := o.Now()
		if day == 0 { // yesterday may be in the ledger still
			day = DayOf(now) - 1
			at = due(day)
		}
		r.publish(ctx)
		for !now.Before(at) {
			r.close(ctx, o, day)
			day, at = day+1, due(day+1)
		}
		r.deliver(ctx, o)
	}
}

// due is a moment to report a day: random, so that not all who report do it at
// once.
func due(day Day) time.Time {
	return (day + 1).Begin().Add(2*exchange + rand.N(spread-2*exchange))
}

// publish gives the ledger what has been counted.
func (r *Reporter) publish(ctx context.Context) {
	o, on := r.options()
	if !on || o.Ledger == nil {
		return
	}
	for day, domains := range r.tally.Changed() {
		for domain, counts := range domains {
			if _, err := o.record(ctx, domain); !errors.Is(err, ErrNoRecord) && ctx.Err() == nil {
				o.Ledger.Publish(ctx, day, domain, counts)
			}
		}
	}
}

// close makes the reports of a day.
func (r *Reporter) close(ctx context.Context, o Options, day Day) {
	domains := r.tally.Take(day)
	by := o.Node
	if o.Ledger != nil {
		var all bool
		if domains, all = o.Ledger.Collect(ctx, day); all {
			by = "cluster"
		}
	}
	for domain, counts := range domains {
		r.pending = append(r.pending, &pending{
			Report: Report{
				Organization: o.Submitter, Contact: o.Contact, Policies: counts,
				Range:  DateRange{Start: day.Begin(), End: day.End()},
				ID:     fmt.Sprintf("%s.%s.%s@%s", day.Begin().Format("20060102"), domain, by, o.Submitter),
				Domain: domain, Submitter: o.Submitter,
			},
			until: o.Now().Add(patience), wait: retry,
		})
	}
}

// deliver hands over what is due.
func (r *Reporter) deliver(ctx context.Context, o Options) {
	rest := r.pending[:0]
	for _, p := range r.pending {
		if ctx.Err() != nil || o.Now().Before(p.next) {
			rest = append(rest, p)
			continue
		}
		err := o.send(ctx, &p.Report)
		switch {
		case errors.Is(err, ErrNoRecord):
		case err == nil:
			o.Log.Info("TLS report sent", "domain", p.Domain, "report", p.ID)
		case o.Now().After(p.until):
			o.Log.Warn("a TLS report could not be handed over, and is given up", "domain", p.Domain, "error", err)
		default:
			p.next = o.Now().Add(p.wait)
			p.wait *= 2
			rest = append(rest, p)
		}
	}
	clear(r.pending[len(rest):])
	r.pending = rest
}

// send hands a report to all places that the domain names. It is done when one
// of them has it (RFC 8460, section 3).
func (o Options) send(ctx context.Context, r *Report) error {
	record, err := o.record(ctx, r.Domain)
	if err != nil {
		return err
	}
	var faults []error
	done := false
	for _, to := range record.Mail {
		text, err := r.Message(o.From, to, o.Now())
		if err == nil {
			err = o.Submit(ctx, o.From, to, text)
		}
		done = done || err == nil
		faults = append(faults, err)
	}
	for _, url := range record.HTTPS {
		err := o.post(ctx, url, r)
		done = done || err == nil
		faults = append(faults, err)
	}
	if done {
		return nil
	}
	return errors.Join(faults...)
}

// record is where a domain wants its reports.
func (o Options) record(ctx context.Context, domain string) (Record, error) {
	texts, err := o.TXT(ctx, "_smtp._tls."+domain)
	if err != nil {
		return Record{}, err
	}
	return ParseRecord(texts)
}

// post hands a report to a web server (RFC 8460, section 5.4).
func (o Options) post(ctx context.Context, url string, r *Report) error {
	body, err := r.Compressed()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post a TLS report: %w", err)
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	resp, err := o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("post a TLS report: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post a TLS report: %s answers %d", url, resp.StatusCode)
	}
	return nil
}
