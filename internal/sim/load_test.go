package sim_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

// fate is what a client was told of its message.
type fate string

const (
	acknowledged fate = "acknowledged" // 250
	refused      fate = "refused"      // nothing was proposed
	unsettled    fate = "unsettled"    // 451 after the dot
	unknown      fate = "unknown"      // the connection broke
	permanent    fate = "permanent"    // 5yz: never
)

// letter is a message on its way in.
type letter struct {
	id   string
	node string
	at   time.Time
	smtp bool // else by the queue's own door
	to   []string
	size int
	rest time.Duration // that the client takes half-way

	fate   fate
	told   string
	took   time.Duration  // from at, without the rest
	queued mail.MessageID // of an acknowledged one
}

// from is the sender, who is told of failures.
func (l *letter) from() string { return "s" + l.id + "@sink1.example" }

// content is the message with LF for line ends.
func (l *letter) content() string {
	var b strings.Builder
	for i := 0; b.Len() < l.size; i++ {
		fmt.Fprintf(&b, "line %d of %s\n..dots\n.\n%s\n", i, l.id, strings.Repeat("x", i%70))
	}
	body := b.String()
	return fmt.Sprintf("Message-ID: <%s@sim>\nSubject: %s\nX-Sim: %s %x\n\n%s", l.id, l.id, l.id, sha256.Sum256([]byte(body)), body)
}

// write writes the content, with a rest half-way.
func (l *letter) write(w io.Writer, content string) error {
	if _, err := io.WriteString(w, content[:len(content)/2]); err != nil {
		return err
	}
	time.Sleep(l.rest)
	_, err := io.WriteString(w, content[len(content)/2:])
	return err
}

// load submits messages, one after the other at its own pace whatever becomes
// of them.
type load struct {
	cluster *Cluster
	random  *rand.Rand
	every   time.Duration
	rests   atomic.Bool // it submits nothing for now
	sending sync.WaitGroup
	letters []*letter // read after sending
}

// run submits until ctx ends, and waits for the answers.
func (s *load) run(ctx context.Context) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.rests.Load() {
				continue
			}
			l := s.draw()
			s.letters = append(s.letters, l)
			s.sending.Go(func() {
				s.send(l)
				l.took = time.Since(l.at) - l.rest
			})
		case <-ctx.Done():
			s.sending.Wait()
			return
		}
	}
}

func (s *load) draw() *letter {
	r := s.random
	l := &letter{
		id:   fmt.Sprint(len(s.letters) + 1),
		at:   time.Now(),
		node: s.cluster.someone(r.IntN(60)),
		smtp: r.IntN(3) > 0,
		size: 100 + r.IntN(3000),
	}
	if r.IntN(50) == 0 {
		l.size = 300_000 + r.IntN(300_000) // streamed in parts
	}
	if r.IntN(4) == 0 {
		l.rest = time.Duration(r.Int64N(int64(3 * time.Second)))
	}
	for i := range 1 + r.IntN(3) {
		l.to = append(l.to, fmt.Sprintf("r%d@sink%d.example", i, 1+r.IntN(2)))
	}
	if r.IntN(20) == 0 {
		l.to = append(l.to, "nobody@sink2.example")
	}
	return l
}

func (s *load) send(l *letter) {
	if l.smtp {
		l.fate, l.told = s.speak(l)
		if l.fate == acknowledged {
			_, id, _ := strings.Cut(l.told, "queued as ")
			l.queued = mail.MessageID(strings.TrimSpace(id))
		}
		return
	}
	p := s.cluster.process(l.node)
	if p == nil || !p.door.enter() {
		l.fate, l.told = refused, "the node is down"
		return
	}
	defer p.door.inside.Done()
	id, err := submit(p.queue, l)
	if p.dead.Load() || p.fatal.Load() != nil {
		l.fate, l.told = unknown, "the node died"
		return
	}
	switch {
	case err == nil:
		l.fate, l.queued = acknowledged, id
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrDiskFull):
		l.fate, l.told = refused, err.Error()
	case errors.Is(err, queue.ErrUnsettled):
		l.fate, l.told = unsettled, err.Error()
	default:
		l.fate, l.told = unknown, err.Error()
	}
}

// submit hands a message to the queue as a session does.
func submit(q *queue.Queue, l *letter) (mail.MessageID, error) {
	u, err := q.Begin(context.Background(), func(id mail.MessageID) []byte {
		return []byte("Received: with SIM id " + string(id) + "\r\n")
	})
	if err != nil {
		return "", err
	}
	if err := l.write(u, strings.ReplaceAll(l.content(), "\n", "\r\n")); err != nil {
		u.Abort()
		return "", err
	}
	e := mail.Envelope{From: parse(l.from())}
	for _, to := range l.to {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: parse(to)})
	}
	return u.Commit(queue.Submission{Envelope: e, HeaderID: "<" + l.id + "@sim>", Subject: l.id, Client: event.Client{IP: "192.0.2.9"}})
}

func parse(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// answerTime is how long a client waits for each answer: more than the queue
// takes to give up.
const answerTime = time.Minute

// speak submits over SMTP.
func (s *load) speak(l *letter) (fate, string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	conn, err := s.cluster.net.Host("client").Dial(ctx, l.node+":25")
	if err != nil {
		return refused, err.Error()
	}
	defer func() { _ = conn.Close() }()
	c := textproto.NewConn(conn)
	ask := func(expect int, command string) (string, error) {
		if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
			return "", err
		}
		if command != "" {
			if err := c.PrintfLine("%s", command); err != nil {
				return "", err
			}
		}
		_, text, err := c.ReadResponse(expect)
		return text, err
	}
	steps := []string{"", "EHLO client.example", "MAIL FROM:<" + l.from() + ">"}
	for _, to := range l.to {
		steps = append(steps, "RCPT TO:<"+to+">")
	}
	for _, step := range steps {
		if _, err := ask(2, step); err != nil {
			return early(err)
		}
	}
	if _, err := ask(354, "DATA"); err != nil {
		return early(err)
	}
	w := c.DotWriter()
	if err := l.write(w, l.content()); err != nil {
		return unknown, err.Error()
	}
	if err := w.Close(); err != nil {
		return unknown, err.Error()
	}
	text, err := ask(250, "")
	var reply *textproto.Error
	switch {
	case err == nil:
		return acknowledged, text
	case errors.As(err, &reply) && reply.Code/100 == 4:
		return unsettled, err.Error()
	case errors.As(err, &reply):
		return permanent, err.Error()
	}
	return unknown, err.Error()
}

// early is the fate of a message whose content was never sent.
func early(err error) (fate, string) {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code/100 == 5 {
		return permanent, err.Error()
	}
	return refused, err.Error()
}
