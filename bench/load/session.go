package load

import (
	"context"
	"strings"
	"time"
)

// session is one client: it has at most one connection. It belongs to one
// goroutine.
type session struct {
	load *Load
	home int // index of the target it prefers
	at   int // index of the target it uses or will connect to
	conn *conn
}

// allDown is how long a session waits when no target answered.
const allDown = 100 * time.Millisecond

func (s *session) run(ctx context.Context) {
	defer s.hangUp(true)
	for {
		n, ok := s.load.ticket(ctx)
		if !ok {
			return
		}
		s.send(ctx, n)
	}
}

// send offers message n to one target after the other until its fate is known.
func (s *session) send(ctx context.Context, n int64) {
	m := s.load.content.message(s.load.run, n)
	rec := Record{ID: m.id, To: m.to}
	for {
		rec.Tries++
		t := s.load.targets[s.at]
		r := s.try(ctx, t, m)
		if s.settle(&rec, t, r) {
			break
		}
		s.nextTarget(t, r)
		if rec.Tries%len(s.load.targets) != 0 {
			continue
		}
		// Everybody was asked. A 4yz is an answer; silence is not.
		if rec.Code != 0 {
			rec.Class = Transient
			if rec.Code/100 == 5 { // a greeting
				rec.Class = Permanent
			}
			break
		}
		if !sleep(ctx, allDown) {
			rec.Class = Unsent
			break
		}
	}
	rec.At = time.Now()
	if !rec.Sent.IsZero() && rec.Class != Unknown {
		rec.TookMicros = rec.At.Sub(rec.Sent).Microseconds()
	}
	s.load.tally.record(rec, s.load.o.Record)
}

// try does one transaction, over the connection at hand or a new one.
func (s *session) try(ctx context.Context, t *target, m message) result {
	if s.conn == nil {
		c, r := dial(ctx, &s.load.o, t.address)
		if c == nil {
			return r
		}
		s.conn = c
	}
	r := s.conn.transact(&s.load.o, m)
	if r.err != nil || r.code == 421 {
		s.hangUp(false)
	} else if s.conn.carried >= s.load.o.PerConnection {
		s.hangUp(true)
		s.goHome()
	}
	return r
}

// settle puts a result into the record and reports whether it is final.
func (s *session) settle(rec *Record, t *target, r result) bool {
	rec.Refused, rec.Sent = r.refused, r.sent
	if r.err == nil {
		rec.Target, rec.Stage, rec.Code, rec.Reply = t.address, r.stage, r.code, r.text
	}
	switch {
	case r.err != nil && !r.sent.IsZero():
		rec.Target = t.address
		rec.Class, rec.Stage, rec.Code, rec.Reply = Unknown, r.stage, 0, r.err.Error()
		s.load.tally.refuse(t.address, r)
		s.nextTarget(t, r)
		return true
	case r.err != nil || r.code/100 == 4:
		s.load.tally.refuse(t.address, r)
		if r.err == nil && !r.sent.IsZero() {
			rec.Class = Transient
			s.nextTarget(t, r)
			return true
		}
		return false
	case r.stage == stageConnect: // a 5yz greeting: this node is not for us
		s.load.tally.refuse(t.address, r)
		return false
	case r.code/100 == 2 && r.stage == stageDot:
		rec.Class, rec.QueueID, rec.Reply = Acknowledged, queueID(r.text), ""
		return true
	}
	rec.Class = Permanent
	return true
}

// nextTarget turns to the target after t.
func (s *session) nextTarget(t *target, r result) {
	if r.err != nil || r.stage == stageConnect {
		t.failed.Store(time.Now().UnixNano())
	}
	s.hangUp(r.err == nil)
	s.at = (s.at + 1) % len(s.load.targets)
}

// goHome makes the next connection one to the session's own target, unless
// that was found dead lately.
func (s *session) goHome() {
	home := s.load.targets[s.home]
	if time.Since(time.Unix(0, home.failed.Load())) > deadFor {
		s.at = s.home
	}
}

func (s *session) hangUp(politely bool) {
	if s.conn == nil {
		return
	}
	s.conn.close(politely)
	s.conn = nil
}

// queueID finds the id in the reply to the final dot, as Postfix, quorumta
// ("queued as ID") and Exim ("id=ID") write it.
func queueID(text string) string {
	for _, mark := range []string{"queued as ", "id="} {
		if _, after, ok := strings.Cut(text, mark); ok {
			id, _, _ := strings.Cut(after, " ")
			return id
		}
	}
	return ""
}
