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
	// udpSize is the answer size that crosses nearly all paths unfragmented.
	udpSize = 1232
	// maxAliases is how many CNAMEs are followed.
	maxAliases = 8
	// The bounds of how long answers are remembered. Without an SOA record a
	// negative answer has no term of its own (RFC 2308, section 5).
	minKeep         = 5 * time.Second
	maxKeep         = time.Hour
	maxKeepNegative = 5 * time.Minute
	keepTemporary   = 5 * time.Second
)

// lookup answers from memory or by asking; the records' names are those at the
// end of a chain of aliases.
func (r *Resolver) lookup(ctx context.Context, q question) answer {
	start := time.Now()
	a, hit := r.cache.get(ctx, q, func(ctx context.Context) answer { return r.ask(ctx, q) })
	r.metrics.record(ctx, q, a.err, hit, time.Since(start))
	if abandoned(a.err) {
		a.err = fmt.Errorf("%w: %w", ErrTemporary, a.err)
	}
	return a
}

// ask asks the servers, and again at the end of a chain of aliases that the
// server did not follow. It is secure if every answer on the way is (RFC 4035,
// section 3.2.3: the AD bit speaks for all records of the answer and for what
// says that there are none).
func (r *Resolver) ask(ctx context.Context, q question) answer {
	keep := maxKeep
	name := q.name
	secure := true
	for range maxAliases {
		message, trusted, err := r.askServers(ctx, question{name, q.qtype})
		if abandoned(err) {
			return answer{err: err}
		}
		if err != nil {
			return answer{err: err, keep: keepTemporary}
		}
		secure = secure && trusted && message.AuthenticatedData
		records, end, ttl := follow(message.Answer, name, q.qtype)
		keep = min(keep, ttl)
		origin := Origin{Name: Canonical(end), Secure: secure}
		switch {
		case end == "":
			return endless()
		case len(records) > 0:
			return answer{records: records, origin: origin, keep: max(keep, minKeep)}
		case message.Rcode == dns.RcodeNameError:
			return answer{origin: origin, err: ErrNotFound, keep: min(keep, negativeTerm(message))}
		case end == name, len(message.Ns) > 0 && negative(message):
			return answer{origin: origin, err: ErrNoData, keep: min(keep, negativeTerm(message))}
		}
		name = end
	}
	return endless()
}

func endless() answer {
	return answer{err: fmt.Errorf("more than %d aliases: %w", maxAliases, ErrTemporary), keep: keepTemporary}
}

// follow collects the records at the end of the chain of aliases in an answer;
// end is "" where the chain has none.
func follow(answers []dns.RR, name string, qtype uint16) (records []dns.RR, end string, ttl time.Duration) {
	ttl, end = maxKeep, name
	for range maxAliases {
		next := ""
		for _, record := range answers {
			h := record.Header()
			if !strings.EqualFold(h.Name, end) || h.Class != dns.ClassINET {
				continue
			}
			if h.Rrtype == qtype {
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
	}
	return nil, "", ttl
}

// negative reports whether the authority section says that the end of the
// chain has no such records (RFC 2308, section 2.2).
func negative(m *dns.Msg) bool {
	for _, record := range m.Ns {
		if record.Header().Rrtype == dns.TypeSOA {
			return true
		}
	}
	return false
}

func negativeTerm(m *dns.Msg) time.Duration {
	for _, record := range m.Ns {
		if soa, ok := record.(*dns.SOA); ok {
			term := time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
			return max(minKeep, min(term, maxKeepNegative))
		}
	}
	return minKeep
}

// askServers asks each server in turn, as often as the options say, beginning
// with the one that answered last; trusted says whether that one's AD bit is
// believed.
func (r *Resolver) askServers(ctx context.Context, q question) (m *dns.Msg, trusted bool, err error) {
	var faults []error
	servers := r.servers.current(time.Now())
	first := int(r.preferred.Load())
	for range r.tries {
		faults = faults[:0]
		for i := range servers {
			n := (first + i) % len(servers)
			m, err := r.askServer(ctx, servers[n], q)
			if err == nil {
				r.preferred.Store(int32(n))
				return m, servers[n].trusted, nil
			}
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
			faults = append(faults, fmt.Errorf("server %s: %s", servers[n].address, err))
		}
	}
	return nil, false, fmt.Errorf("%w: %w", ErrTemporary, errors.Join(faults...))
}

// askServer asks over UDP, over TCP where the answer was cut short, and
// without EDNS0 where the server does not know it (RFC 6891, section 7). A
// trusted one is asked what it has validated: by the AD bit (RFC 6840, section
// 5.7), and by DO for those that are older than it.
func (r *Resolver) askServer(ctx context.Context, s server, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.AuthenticatedData = s.trusted
	m.SetEdns0(udpSize, s.trusted)
	reply, err := r.exchange(ctx, s.address, "udp", m)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		m.Extra = nil
		m.Id = dns.Id()
		reply, err = r.exchange(ctx, s.address, "udp", m)
	}
	if err == nil && reply.Truncated {
		m.Id = dns.Id()
		reply, err = r.exchange(ctx, s.address, "tcp", m)
	}
	switch {
	case err != nil:
		return nil, err
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, errors.New(dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

func (r *Resolver) exchange(ctx context.Context, server, network string, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	client := dns.Client{Net: network, Timeout: r.timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The client heeds the context's deadline, and not its cancellation.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, _, err := client.ExchangeWithConnContext(ctx, m, conn)
	if err != nil {
		return nil, err
	}
	if len(reply.Question) != 1 || reply.Question[0].Qtype != m.Question[0].Qtype ||
		!strings.EqualFold(reply.Question[0].Name, m.Question[0].Name) || !reply.Response {
		return nil, errors.New("the answer is not to the question")
	}
	return reply, nil
}
