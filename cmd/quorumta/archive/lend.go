package archive

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"quorumta/cluster/store/backup"
)

// A node that makes a backup reads the shards that others lead by calls:
//
//	archive.lend   JSON {shard} → JSON {id, size}
//	archive.read   id 26 · offset 8, big endian → bytes from there, none at the end
//
// Bytes are read in order; the last answer can be asked for again.
const (
	methodLend = "archive.lend"
	methodRead = "archive.read"

	idSize = 26 // of rand.Text

	// chunk is the most that one answer carries, bytes.
	chunk = 1 << 20
	// callTimeout bounds a call.
	callTimeout = 30 * time.Second
	// idle is how long a loan lasts that nobody reads.
	idle = 2 * time.Minute
	// mostLoans bounds how many are open at once: each pins what is deleted
	// meanwhile.
	mostLoans = 8
)

// lendings are the views that other nodes read.
type lendings struct {
	mu   sync.Mutex // guards the rest
	open map[string]*lending
}

// lending is one view, written into a pipe as it is read.
type lending struct {
	mu     sync.Mutex // guards the rest
	pipe   *io.PipeReader
	offset int64  // behind last
	last   []byte // the newest answer
	expire *time.Timer
}

type loanRequest struct {
	Shard uint16 `json:"shard"`
}

type loan struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
}

// lend pins a shard that this node leads, for another.
func (a *Archive) lend(ctx context.Context, _ string, body []byte) ([]byte, error) {
	var r loanRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	view, done, err := a.pin(ctx, r.Shard)
	if err != nil {
		return nil, err
	}
	size, err := view.Size()
	if err == nil {
		var l loan
		if l, err = a.lendings.add(view, size, done); err == nil {
			return json.Marshal(l)
		}
	}
	done()
	return nil, err
}

// add begins to write the view for who reads it; done is called when it ends.
func (s *lendings) add(view backup.Source, size int64, done func()) (loan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= mostLoans {
		return loan{}, fmt.Errorf("%d backups are being made already: try again later", mostLoans)
	}
	r, w := io.Pipe()
	go func() {
		defer done()
		_, err := view.WriteTo(w)
		_ = w.CloseWithError(err) // never fails
	}()
	id := rand.Text()
	s.open[id] = &lending{pipe: r, expire: time.AfterFunc(idle, func() { s.end(id) })}
	return loan{id, size}, nil
}

// end gives the view up.
func (s *lendings) end(id string) {
	s.mu.Lock()
	l := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	if l != nil {
		l.expire.Stop()
		_ = l.pipe.CloseWithError(errors.New("nobody reads any more")) // never fails
	}
}

// read answers with the next bytes of a loan.
func (a *Archive) read(_ context.Context, _ string, body []byte) ([]byte, error) {
	if len(body) != idSize+8 {
		return nil, errors.New("a request of a wrong length")
	}
	id, offset := string(body[:idSize]), int64(binary.BigEndian.Uint64(body[idSize:]))
	a.lendings.mu.Lock()
	l := a.lendings.open[id]
	a.lendings.mu.Unlock()
	if l == nil {
		return nil, errors.New("the loan has ended: begin the backup again")
	}
	part, err := l.at(offset)
	if err != nil || len(part) == 0 {
		a.lendings.end(id)
	}
	return part, err
}

// at are the bytes at the offset, or none at the end.
func (l *lending) at(offset int64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire.Reset(idle)
	switch offset {
	case l.offset - int64(len(l.last)):
		if len(l.last) > 0 {
			return l.last, nil // the answer was lost
		}
	case l.offset:
	default:
		return nil, fmt.Errorf("asked for byte %d, and %d is next", offset, l.offset)
	}
	part := make([]byte, chunk)
	n, err := io.ReadFull(l.pipe, part)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	l.last = part[:n]
	l.offset += int64(n)
	return l.last, nil
}

// borrowed is a shard's state at another node.
type borrowed struct {
	a    *Archive
	ctx  context.Context // of the backup
	node string
	loan loan
}

// borrowFrom pins the shard's state at its leader.
func (a *Archive) borrowFrom(ctx context.Context, shard uint16, leader string) (*source, error) {
	body, err := json.Marshal(loanRequest{shard})
	if err != nil {
		return nil, err
	}
	calling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := a.node.Call(calling, leader, methodLend, body)
	if err != nil {
		return nil, err
	}
	b := borrowed{a: a, ctx: ctx, node: leader}
	if err := json.Unmarshal(answer, &b.loan); err != nil {
		return nil, err
	}
	if len(b.loan.ID) != idSize {
		return nil, fmt.Errorf("%s lends under a name that is none", leader)
	}
	return &source{b, leader, func() {}}, nil // the loan ends by itself
}

// Size implements backup.Source.
func (b borrowed) Size() (int64, error) { return b.loan.Size, nil }

// WriteTo implements backup.Source.
func (b borrowed) WriteTo(w io.Writer) (int64, error) {
	var offset int64
	for offset < b.loan.Size {
		part, err := b.read(offset)
		if err == nil && len(part) == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return offset, fmt.Errorf("read from %s: %w", b.node, err)
		}
		n, err := w.Write(part)
		offset += int64(n)
		if err != nil {
			return offset, err
		}
	}
	_, _ = b.read(offset) // there is nothing more: the loan may end
	return offset, nil
}

// readTries is how often the same bytes are asked for.
const readTries = 3

func (b borrowed) read(offset int64) (part []byte, err error) {
	request := binary.BigEndian.AppendUint64([]byte(b.loan.ID), uint64(offset))
	for range readTries {
		ctx, cancel := context.WithTimeout(b.ctx, callTimeout)
		part, err = b.a.node.Call(ctx, b.node, methodRead, request)
		cancel()
		if err == nil || b.ctx.Err() != nil {
			break
		}
	}
	return part, err
}
