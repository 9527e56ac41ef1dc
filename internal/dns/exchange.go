package dns

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the answer size that crosses nearly all paths unfragmented.
const udpSize = 1232

// errMangled is an answer whose question has other capitals than ours.
var errMangled = errors.New("the answer spells the question differently")

// askServers asks each server in turn, as often as the settings say, beginning
// with the one that answered last; trusted says whether that one's AD bit is
// believed.
func (r *Resolver) askServers(ctx context.Context, s *Settings, q question) (m *dns.Msg, trusted bool, err error) {
	var faults []error
	servers := s.servers.current(time.Now())
	first := int(s.preferred.Load())
	for range s.tries {
		faults = faults[:0]
		for i := range servers {
			n := (first + i) % len(servers)
			m, err := r.askServer(ctx, s, servers[n], q)
			if err == nil {
				s.preferred.Store(int32(n))
				return m, servers[n].trusted, nil
			}
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
			err = fmt.Errorf("server %s: %w", servers[n].address, err)
			if errors.Is(err, ErrBogus) {
				return nil, false, fmt.Errorf("%w: %w", ErrTemporary, err)
			}
			faults = append(faults, err)
		}
	}
	// What they are is for readers: a server's time-out is not the caller's.
	return nil, false, fmt.Errorf("%w: %s", ErrTemporary, errors.Join(faults...))
}

// askServer asks over UDP, over TCP where the answer was cut short, and
// without EDNS0 where the server does not know it (RFC 6891, section 7). A
// trusted one is asked what it has validated: by the AD bit (RFC 6840, section
// 5.7), and by DO for those that are older than it.
func (r *Resolver) askServer(ctx context.Context, s *Settings, to server, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(capitals(q.name), q.qtype)
	m.AuthenticatedData = to.trusted
	m.SetEdns0(udpSize, to.trusted)
	reply, err := r.exchange(ctx, s, to, "udp", m)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		m.Extra = nil
		m.Id = dns.Id()
		reply, err = r.exchange(ctx, s, to, "udp", m)
	}
	if err == nil && reply.Truncated || errors.Is(err, errMangled) {
		m.Id = dns.Id()
		reply, err = r.exchange(ctx, s, to, "tcp", m)
	}
	switch {
	case err != nil:
		return nil, err
	case reply.Rcode == dns.RcodeServerFailure && to.trusted && r.unchecked(ctx, s, to, m):
		return nil, fmt.Errorf("%w%s", ErrBogus, reasons(reply))
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, errors.New(dns.RcodeToString[reply.Rcode] + reasons(reply))
	}
	return reply, nil
}

// reasons are what a server says of its failure (RFC 8914), for readers only:
// nothing vouches for it.
func reasons(reply *dns.Msg) (text string) {
	opt := reply.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, option := range opt.Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok && len(text) < 100 {
			text += ", " + strings.ToLower(dns.ExtendedErrorCodeToString[e.InfoCode])
			if e.ExtraText != "" {
				text += fmt.Sprintf(" (%.80q)", e.ExtraText)
			}
		}
	}
	return text
}

// unchecked reports whether the server has an answer that it held back: one
// that it gives when it is told not to validate (RFC 4035, section 3.2.2). The
// answer is used for nothing else.
func (r *Resolver) unchecked(ctx context.Context, s *Settings, to server, m *dns.Msg) bool {
	again := m.Copy()
	again.Id = dns.Id()
	again.CheckingDisabled = true
	reply, err := r.exchange(ctx, s, to, "udp", again)
	return err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError)
}

// exchange asks one server once, from a port that the kernel draws, and takes
// the answer from nobody else. Over UDP what does not answer the question is
// passed over: it may be late, or forged (RFC 5452, section 9.1).
func (r *Resolver) exchange(ctx context.Context, s *Settings, to server, network string, m *dns.Msg) (reply *dns.Msg, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer func() { r.metrics.asked(ctx, network, err) }()
	client := dns.Client{Net: network}
	conn, err := client.DialContext(ctx, to.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.UDPSize = udpSize
	if err := conn.WriteMsg(m); err != nil {
		return nil, ended(ctx, err)
	}
	for {
		reply, err := conn.ReadMsg()
		if err != nil {
			return nil, ended(ctx, err)
		}
		if err = answers(reply, m, network); err == nil || network == "tcp" || errors.Is(err, errMangled) {
			return reply, err
		}
	}
}

// ended says what closed the connection.
func ended(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// answers reports whether a message answers a question. Over UDP the capitals
// must be ours, which somebody who sees none of our questions has to guess; a
// server that changes them is asked over TCP.
func answers(reply, m *dns.Msg, network string) error {
	if reply.Id != m.Id || !reply.Response || reply.Opcode != m.Opcode || len(reply.Question) != 1 {
		return errors.New("the message is not an answer")
	}
	is, want := reply.Question[0], m.Question[0]
	switch {
	case is.Qtype != want.Qtype || is.Qclass != want.Qclass || !strings.EqualFold(is.Name, want.Name):
		return errors.New("the answer is not to the question")
	case is.Name != want.Name && network == "udp":
		return errMangled
	}
	return nil
}

// capitals writes each letter of a name as it falls.
func capitals(name string) string {
	coins := make([]byte, len(name))
	_, _ = rand.Read(coins) // it never fails
	out := []byte(name)
	for i, c := range out {
		if 'a' <= c && c <= 'z' && coins[i]&1 == 1 {
			out[i] = c - 'a' + 'A'
		}
	}
	return string(out)
}
