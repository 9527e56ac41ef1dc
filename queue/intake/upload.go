package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/spool"
)

const (
	// window is how many parts of an upload may be under way: with the part
	// that is being filled they bound its memory to a mebibyte.
	window = 3
	// moveTime is how long an upload looks for a shard that takes it, while a
	// new leader may be found. After the first turns, which cost no time, it
	// waits between them: a leader that has just stepped down refuses at once.
	moveTime   = 1500 * time.Millisecond
	quickTurns = 2
	turnPause  = 20 * time.Millisecond
)

// errElsewhere: this shard does not take the message, and nothing of it counts
// here; another one may.
var errElsewhere = errors.New("to be tried on another shard")

// errOver: the upload was committed or aborted.
var errOver = errors.New("the upload is over")

// Upload is a message on its way in. It is used by one goroutine.
type Upload struct {
	n      *Intake
	ctx    context.Context
	cancel context.CancelFunc
	span   trace.Span
	began  time.Time
	prefix func(mail.MessageID) []byte

	at    *placement
	avoid map[uint16]bool // shards that did not take it
	// spool has all that was written, from the first part on; nil before, and
	// if it cannot be kept.
	spool    *spool.File
	streamed bool
	err      error // what Write failed with, or errOver
}

// placement is an upload's place on one shard.
type placement struct {
	shard     uint16
	id        mail.MessageID
	submitter event.Submitter
	head      int // length of the prefix
	digest    hash.Hash
	size      int64
	part      []byte    // what was not proposed yet
	parts     uint32    // number of those proposed
	touched   time.Time // when a part or Renewed was last proposed
	discarded bool

	flights
}

// flights are the parts under way.
type flights struct {
	ctx     context.Context // ends with the placement
	cancel  context.CancelFunc
	slots   chan struct{} // one for each
	running sync.WaitGroup
	mu      sync.Mutex
	lost    error // why one is not recorded
}

// Begin starts a message. prefix makes the header that goes before what is
// written, from the message's id; it is called again if the message has to
// turn to another shard, where it gets another id.
func (n *Intake) Begin(ctx context.Context, prefix func(mail.MessageID) []byte) (*Upload, error) {
	shard, err := n.o.Place(nil)
	if err != nil {
		return nil, err
	}
	u := &Upload{n: n, prefix: prefix, avoid: map[uint16]bool{}, began: time.Now()}
	ctx, u.span = n.o.Tracer.Start(ctx, "queue.submit")
	u.ctx, u.cancel = context.WithCancel(ctx)
	if err := u.settle(shard); err != nil {
		u.end(err)
		return nil, err
	}
	return u, nil
}

// settle begins the message on a shard.
func (u *Upload) settle(shard uint16) error {
	p := &placement{
		shard:     shard,
		id:        u.n.o.Draw(shard),
		submitter: u.n.o.Submitter(),
		digest:    sha256.New(),
		touched:   time.Now(),
		flights:   flights{slots: make(chan struct{}, window)},
	}
	p.ctx, p.cancel = context.WithCancel(u.ctx)
	u.at = p
	head := u.prefix(p.id)
	p.head = len(head)
	return u.feed(head)
}

// Write appends content. Small messages stay in memory until Commit; of larger
// ones a part at a time is proposed, and Write waits while too many are under
// way. It fails as Commit does.
func (u *Upload) Write(content []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	u.keep(content)
	err := u.feed(content)
	if errors.Is(err, errElsewhere) {
		err = u.move(err)
	}
	if err != nil {
		u.err = err
		return 0, err
	}
	return len(content), nil
}

// keep spools what is written as soon as parts are streamed, so that the
// message can begin again on another shard.
func (u *Upload) keep(content []byte) {
	if !u.streamed {
		if len(u.at.part)+len(content) <= event.MaxPart {
			return
		}
		u.streamed = true
		file, err := u.n.spool.Create()
		if err != nil {
			u.n.o.Log.Warn("a large message cannot turn to another shard if its own fails: check the spool directory",
				"dir", u.n.o.SpoolDir, "error", err)
			return
		}
		u.spool = file
		u.spoolOn(u.at.part[u.at.head:])
	}
	u.spoolOn(content)
}

func (u *Upload) spoolOn(content []byte) {
	if u.spool == nil {
		return
	}
	if _, err := u.spool.Write(content); err != nil {
		u.n.o.Log.Warn("a large message cannot turn to another shard if its own fails", "error", err)
		u.spool.Close()
		u.spool = nil
	}
}

// feed appends content to the placement, and proposes each part that is full
// when more follows. It fails with errElsewhere.
func (u *Upload) feed(content []byte) error {
	p := u.at
	p.digest.Write(content)
	p.size += int64(len(content))
	for len(content) > 0 {
		if len(p.part) == event.MaxPart {
			if err := u.flush(); err != nil {
				return err
			}
		}
		n := min(len(content), event.MaxPart-len(p.part))
		p.part = append(p.part, content[:n]...)
		content = content[n:]
	}
	if p.parts > 0 && time.Since(p.touched) > u.n.o.UploadTimeout/4 {
		u.renew()
	}
	return nil
}

// flush proposes the part, when a slot is free and the way to the shard is.
func (u *Upload) flush() error {
	p := u.at
	select {
	case p.slots <- struct{}{}:
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
	leave, err := u.n.rooms.enter(u.ctx, p.shard, len(p.part))
	if err != nil {
		return err
	}
	if err := p.failure(); err != nil {
		leave()
		return err
	}
	part := &event.BodyPart{Submitter: p.submitter, N: p.parts, Content: p.part}
	p.parts++
	p.touched = time.Now()
	p.part = make([]byte, 0, event.MaxPart)
	p.running.Go(func() {
		v := u.n.o.Propose(p.ctx, p.shard, event.Group{ID: p.id, Events: []event.Event{part}})
		if v.Err != nil || !v.Result.OK() {
			p.fail(v)
		}
		leave()
		<-p.slots
	})
	return nil
}

// renew keeps the parts of a slow upload from being swept.
func (u *Upload) renew() {
	p := u.at
	p.touched = time.Now()
	p.running.Go(func() {
		renewed := &event.Renewed{Submitter: p.submitter}
		u.n.o.Propose(p.ctx, p.shard, event.Group{ID: p.id, Events: []event.Event{renewed}})
	})
}

func (p *flights) fail(v lane.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = fmt.Errorf("%w: a part is not recorded: %w", errElsewhere, v.Error())
}

func (p *flights) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// land proposes the last part and returns when all are recorded.
func (u *Upload) land() error {
	p := u.at
	if p.parts > 0 && len(p.part) > 0 {
		if err := u.flush(); err != nil {
			return err
		}
	}
	p.running.Wait()
	return p.failure()
}

// move begins the message again on another shard. Nothing that was proposed
// counts any more: parts bind nothing (PROTOCOL 11).
func (u *Upload) move(why error) error {
	deadline := time.Now().Add(moveTime)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		u.avoid[u.at.shard] = true
		u.discard()
		if u.streamed && u.spool == nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, why)
		}
		shard, err := u.n.o.Place(u.avoid)
		if err == nil {
			u.n.meters.moved.Add(u.ctx, 1)
			err = u.replay(shard)
		}
		switch {
		case err == nil:
			return nil
		case u.ctx.Err() != nil:
			return u.ctx.Err()
		case time.Now().After(deadline) || !clock.Pause(u.ctx, wait):
			if errors.Is(err, errElsewhere) {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			return err
		}
	}
}

// replay feeds all that was written to another shard.
func (u *Upload) replay(shard uint16) error {
	old := u.at
	if u.spool == nil {
		body := old.part[old.head:]
		if err := u.settle(shard); err != nil {
			return err
		}
		return u.feed(body)
	}
	if err := u.settle(shard); err != nil {
		return err
	}
	_, err := io.CopyBuffer(feeder{u}, u.spool.Reader(), make([]byte, 64<<10))
	return err
}

// feeder is an upload as the target of a copy from its spool.
type feeder struct{ u *Upload }

// Write implements io.Writer.
func (f feeder) Write(b []byte) (int, error) {
	if err := f.u.feed(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Commit makes the message; when it returns nil a majority has it on stable
// storage, and the id is final. ErrUnavailable, ErrDiskFull: nothing was
// taken. ErrUnsettled: see there. The upload is over in any case.
func (u *Upload) Commit(s Submission) (mail.MessageID, error) {
	err := u.err
	if err == nil {
		err = u.commit(s)
	}
	u.end(err)
	if err != nil {
		return "", err
	}
	u.n.meters.accepted.Add(u.ctx, 1)
	return u.at.id, nil
}

func (u *Upload) commit(s Submission) error {
	started := time.Now()
	for turn := 1; ; turn++ {
		err := u.land()
		if err == nil {
			err = u.n.admit(u.ctx, u.accepted(s))
		}
		if !errors.Is(err, errElsewhere) {
			return err
		}
		if time.Since(started) > moveTime {
			return u.refusal(err)
		}
		if turn > quickTurns && !clock.Pause(u.ctx, turnPause) {
			return u.ctx.Err()
		}
		if err := u.move(err); err != nil {
			return err
		}
	}
}

// refusal is why no shard takes the message.
func (u *Upload) refusal(err error) error {
	if _, now := u.n.o.Place(nil); now != nil {
		return now
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// accepted is the message as it is proposed. Its due time is given at the
// leader, unless it is to be released later.
func (u *Upload) accepted(s Submission) *event.Accepted {
	p := u.at
	a := &event.Accepted{
		ID:        p.id,
		Submitter: p.submitter,
		Client:    s.Client,
		Envelope:  s.Envelope,
		HeaderID:  s.HeaderID,
		Subject:   s.Subject,
		Size:      p.size,
		Parts:     p.parts,
		Trace:     s.Trace,
		Rules:     s.Rules,
		Cause:     s.Cause,
	}
	if !s.Release.IsZero() {
		a.Due = s.Release.UTC().Truncate(time.Millisecond)
	}
	p.digest.Sum(a.Digest[:0])
	if p.parts == 0 {
		a.Content = p.part
	}
	return a
}

// Abort gives the message up.
func (u *Upload) Abort() { u.end(context.Canceled) }

// end ends the upload and all that runs for it, once.
func (u *Upload) end(err error) {
	if errors.Is(u.err, errOver) {
		return
	}
	u.err = errOver
	if err != nil {
		u.discard()
	}
	u.cancel()
	if u.spool != nil {
		u.spool.Close()
		u.spool = nil
	}
	u.span.SetAttributes(attribute.String("message.id", string(u.at.id)), attribute.Int64("message.size", u.at.size))
	if err != nil && !errors.Is(err, context.Canceled) {
		u.span.SetStatus(codes.Error, err.Error())
	}
	u.span.End()
	u.n.meters.submitted(u.ctx, time.Since(u.began), err)
}

// discard gives a placement up. Its parts are abandoned rather than left to be
// swept, so that they do not fill the disk until then.
func (u *Upload) discard() {
	p := u.at
	p.cancel()
	p.running.Wait()
	if p.parts == 0 || p.discarded {
		return
	}
	p.discarded = true
	u.n.o.Spawn(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abandonTime)
		defer cancel()
		abandoned := &event.Abandoned{Submitter: p.submitter}
		u.n.o.Propose(ctx, p.shard, event.Group{ID: p.id, Events: []event.Event{abandoned}})
	})
}
