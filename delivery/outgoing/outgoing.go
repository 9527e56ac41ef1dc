package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/policy"
	"quorumta/internal/rewrite"
)

// Rules say what is done to messages on their way out; safe for concurrent use.
// Nil changes nothing.
type Rules struct {
	// Rewrites change addresses in the header, before all else.
	Rewrites rewrite.Rules
	// Sign are the signatures; each whose condition holds is made.
	Sign []Signer
	// Seal are the seals; the first whose condition holds is made.
	Seal []Sealer
	// Returns are the rules for reverse-paths; nil leaves them as they are.
	Returns *returnpath.Rules
}

// Letter is a stored message, and what was decided about it for the recipients
// that it goes to.
type Letter struct {
	// Content is the stored content from its beginning, to be closed by who
	// prepared the letter, and Open opens it once more.
	Content io.Reader
	Open    func() (io.ReadCloser, error)
	// Size is the content's, in octets.
	Size int64
	// Facts are what expressions may use.
	Facts *policy.Facts
	// From is the reverse-path that was decided on. Forwarded says that the
	// recipients stand in the place of others.
	From      mail.Address
	Forwarded bool
	// Delivers: the message is delivered where it goes, so that nobody will judge
	// its reverse-path by SPF, or answer to it; it stays as it is.
	Delivers bool
	// Top are fields that go before all others, signed by nobody.
	Top string
	// Add are fields for the header, "Name: value" each, and Remove the names
	// of those of the stored one that are taken out; a * at the end stands for
	// any rest.
	Add, Remove []string
	// UTF8: the message may have UTF-8 in its header (RFC 6531).
	UTF8 bool
	Now  time.Time

	// stored opens the content as it is stored, where Fit has converted it; else
	// it is nil.
	stored func() (io.ReadCloser, error)
}

// Form is the form in which a message goes out.
type Form struct {
	// From is the reverse-path.
	From mail.Address
	// Content is to be read once, and Size is how long it is.
	Content io.Reader
	Size    int64
	// Signatures is how many of DKIM were made.
	Signatures int
	// BrokenChain is why the chain of ARC, which was sealed, does not hold; nil
	// where it does.
	BrokenChain error

	// head goes before the body: the present header, or Top alone.
	head []byte
	// skip is how much of the stored content head replaces.
	skip int64
	// body is the body where it was kept; whole says that it was.
	body  []byte
	whole bool
	open  func() (io.ReadCloser, error)
}

// Refusal means that a message cannot go out in the form that was asked for,
// now or at all, as Reply says. It is our own word.
type Refusal struct {
	Reply mail.Reply
	Err   error
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("%s: %v", r.Reply.Text, r.Err) }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// unusable is a fault of the configuration, or of what it names: the message
// waits until somebody has mended it.
func unusable(err error) error {
	return &Refusal{mail.Reply{Code: 451, Enhanced: "4.3.5", Text: "the message cannot be prepared for delivery now"}, err}
}

// maxHeader is the longest header that is looked at.
const maxHeader = 1 << 20

// tooLong is for a header beyond that.
func tooLong(err error) error {
	return &Refusal{mail.Reply{Code: 554, Enhanced: "5.6.0", Text: "the header of the message is too long to be signed or changed"}, err}
}

// Prepare makes the form of a letter. The error may be a *Refusal; all others
// are failures to read the content.
func (r *Rules) Prepare(ctx context.Context, l Letter) (Form, error) {
	from, err := r.returnPath(&l)
	if err != nil {
		return Form{}, err
	}
	f, err := r.content(ctx, l)
	f.From = from
	return f, err
}

// Forwards reports whether forwarded mail goes out with another reverse-path
// than mail of the same sender that is not.
func (r *Rules) Forwards() bool { return r != nil && r.Returns.Rewrites() }

// returnPath is the reverse-path that a letter goes out with.
func (r *Rules) returnPath(l *Letter) (mail.Address, error) {
	if r == nil || r.Returns == nil || l.Delivers {
		return l.From, nil
	}
	facts := *l.Facts
	facts.Sender = l.From
	from, err := r.Returns.Out(&facts, l.Forwarded, l.Now)
	if err != nil {
		return from, unusable(err)
	}
	return from, nil
}

// content makes the form of a letter's content.
func (r *Rules) content(ctx context.Context, l Letter) (Form, error) {
	d := desk{Letter: l}
	var list []chosen
	var last *seal
	if r != nil {
		var err error
		if err = d.rewrite(ctx, r.Rewrites); err != nil {
			return Form{}, err
		}
		if list, err = r.signing(&d); err != nil {
			return Form{}, err
		}
		if last, err = r.sealing(&d); err != nil {
			return Form{}, err
		}
	}
	edited := len(l.Add)+len(l.Remove) > 0
	if !edited && len(list) == 0 && last == nil && d.source == nil {
		return plain(l), nil
	}
	if err := d.load(); err != nil {
		return Form{}, err
	}
	if edited {
		d.edit()
	}
	if d.header.Get("From") == "" {
		list = nil // it was taken out
	}
	f := Form{open: l.Open, skip: d.skip, head: []byte(l.Top)}
	signed := len(list) > 0 || last != nil
	if signed {
		fields, err := d.sign(ctx, list, last, &f)
		if err != nil {
			return Form{}, err
		}
		for _, field := range fields {
			f.head = append(f.head, field...)
		}
		f.Signatures, f.BrokenChain = len(list), d.broken
	}
	head := d.header.Bytes()
	if !edited && !signed && !d.changed {
		head = head[:min(int64(len(head)), d.skip)] // without the empty line, if there was none
	}
	f.head = append(f.head, head...)
	f.Size = int64(len(f.head)) + l.Size - f.skip
	if !signed {
		f.Content = io.MultiReader(bytes.NewReader(f.head), d.source)
		return f, nil
	}
	var err error
	f.Content, err = f.Open()
	return f, err
}

// plain is a letter as it is stored.
func plain(l Letter) Form {
	f := Form{Content: l.Content, Size: l.Size + int64(len(l.Top)), open: l.Open}
	if l.Top != "" {
		f.head = []byte(l.Top)
		f.Content = io.MultiReader(bytes.NewReader(f.head), l.Content)
	}
	return f
}

// Open opens the form from its beginning once more.
func (f *Form) Open() (io.ReadCloser, error) {
	if f.whole {
		return io.NopCloser(io.MultiReader(bytes.NewReader(f.head), bytes.NewReader(f.body))), nil
	}
	content, err := f.open()
	if err != nil || len(f.head) == 0 {
		return content, err
	}
	if _, err := io.CopyN(io.Discard, content, f.skip); err != nil && !errors.Is(err, io.EOF) {
		_ = content.Close()
		return nil, fmt.Errorf("read the content: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(f.head), content), content}, nil
}

// Close ends the use of the form: Content is read no more.
func (f *Form) Close() {
	if c, ok := f.Content.(io.Closer); ok {
		_ = c.Close()
	}
}
