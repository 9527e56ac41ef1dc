package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxAliases is how many CNAMEs are followed.
	maxAliases = 8
	// The bounds of how long answers are remembered. A negative answer is kept
	// as its SOA record says, and without one as shortly as possible (RFC 2308,
	// section 5); a failure is, too (RFC 9520, section 3.2).
	minKeep         = 5 * time.Second
	maxKeep         = time.Hour
	maxKeepNegative = 5 * time.Minute
	keepTemporary   = 5 * time.Second
)

// lookup answers from memory or by asking; the records' names are those at the
// end of a chain of aliases.
func (r *Resolver) lookup(ctx context.Context, q question) answer {
	start := time.Now()
	a, hit := r.cache.get(ctx, q)
	r.metrics.record(ctx, q, a.err, hit, time.Since(start))
	if abandoned(a.err) {
		a.err = fmt.Errorf("%w: %w", ErrTemporary, a.err)
	}
	return a
}

// ask asks for a name, and again for the end of a chain of aliases that is not
// in the answer, as the server did not follow it, or it leads into a zone of
// ours. It is secure if every answer on the way is (RFC 4035, section 3.2.3:
// the AD bit speaks for all records of the answer and for what says that there
// are none).
func (r *Resolver) ask(ctx context.Context, q question) answer {
	s := r.settings.Load()
	keep, name, secure := maxKeep, q.name, true
	for range maxAliases {
		found, err := r.step(ctx, s, question{name, q.qtype})
		if abandoned(err) {
			return answer{err: err}
		}
		if err != nil {
			return answer{err: err, keep: keepTemporary}
		}
		secure = secure && found.secure
		keep = min(keep, found.keep)
		if found.end == "" {
			break
		}
		if len(found.records) > 0 || found.err != nil {
			return answer{
				records: found.records, err: found.err, keep: max(keep, minKeep), octets: size(found.records),
				origin: Origin{Name: Canonical(found.end), Secure: secure},
			}
		}
		name = found.end
	}
	return answer{err: fmt.Errorf("more than %d aliases: %w", maxAliases, ErrTemporary), keep: keepTemporary}
}

func size(records []dns.RR) (octets int) {
	for _, record := range records {
		octets += dns.Len(record)
	}
	return octets
}

// step is what one zone or server says: records at the end of a chain of
// aliases, or that there are none (ErrNotFound, ErrNoData), or neither: the end
// is to be asked for.
type step struct {
	records []dns.RR
	end     string // "" where the chain has none
	secure  bool
	keep    time.Duration
	err     error
}

func (r *Resolver) step(ctx context.Context, s *Settings, q question) (step, error) {
	if zone := s.zones.of(q.name); zone != nil {
		return zone.find(q), nil
	}
	message, trusted, err := r.askServers(ctx, s, q)
	if err != nil {
		return step{}, err
	}
	found := step{secure: trusted && message.AuthenticatedData}
	foreign := func(name string) bool { return s.zones.of(name) == nil }
	found.records, found.end, found.keep = follow(message.Answer, q, foreign)
	term, negative := negativeTerm(message)
	switch {
	case len(found.records) > 0 || !foreign(found.end):
	case message.Rcode == dns.RcodeNameError:
		found.err, found.keep = ErrNotFound, min(found.keep, term)
	case found.end == q.name, negative:
		found.err, found.keep = ErrNoData, min(found.keep, term)
	}
	return found, nil
}

// follow collects the records at the end of the chain of aliases in an answer,
// as far as its names are foreign; end is "" where the chain has none.
func follow(answers []dns.RR, q question, foreign func(string) bool) (records []dns.RR, end string, ttl time.Duration) {
	ttl, end = maxKeep, q.name
	for range maxAliases {
		next := ""
		for _, record := range answers {
			h := record.Header()
			if !strings.EqualFold(h.Name, end) || h.Class != dns.ClassINET {
				continue
			}
			if h.Rrtype == q.qtype {
				records = append(records, record)
			} else if alias, ok := record.(*dns.CNAME); ok {
				next = strings.ToLower(alias.Target)
			} else {
				continue
			}
			ttl = min(ttl, time.Duration(h.Ttl)*time.Second)
		}
		if len(records) > 0 || next == "" {
			return records, end, ttl
		}
		end = next
		if !foreign(end) {
			return nil, end, ttl
		}
	}
	return nil, "", ttl
}

// negativeTerm is how long an answer without records is kept; negative says
// that the authority section has the record that makes it one (RFC 2308,
// section 2.2).
func negativeTerm(m *dns.Msg) (term time.Duration, negative bool) {
	for _, record := range m.Ns {
		if soa, ok := record.(*dns.SOA); ok {
			term := time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
			return max(minKeep, min(term, maxKeepNegative)), true
		}
	}
	return minKeep, false
}

// final reports whether an error is an answer of the zone itself.
func final(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoData) }
