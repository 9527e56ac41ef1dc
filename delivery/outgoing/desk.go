package outgoing

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/policy"
	"quorumta/internal/rewrite"
)

// desk is one letter being prepared.
type desk struct {
	Letter
	// source has the content behind the header, which was skip octets, once
	// load has been called.
	source *bufio.Reader
	header header.Header
	skip   int64
	err    error
	// arrived is the header as it came, where rewrite was asked, and changed says
	// that it did.
	arrived header.Header
	changed bool
	// broken is why the ARC chain that came with it does not hold.
	broken error
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// load reads the header, once.
func (d *desk) load() error {
	if d.source != nil {
		return d.err
	}
	count := &counter{Reader: d.Content}
	d.source = bufio.NewReader(count)
	d.header, d.err = header.Read(d.source, maxHeader)
	d.skip = count.n - int64(d.source.Buffered())
	if errors.Is(d.err, header.ErrTooLong) {
		d.err = tooLong(d.err)
	}
	return d.err
}

// rewrite has the addresses in the header rewritten, and names the rules in the
// attempt's span. A rule that cannot be used has the message wait.
func (d *desk) rewrite(ctx context.Context, rules rewrite.Rules) error {
	if !rules.In(rewrite.Headers) {
		return nil
	}
	if err := d.load(); err != nil {
		return err
	}
	d.arrived = d.header
	changed, names, err := rules.Header(d.Facts, d.header, d.UTF8)
	if err != nil {
		return unusable(err)
	}
	d.header, d.changed = changed, len(names) > 0
	if d.changed {
		trace.SpanFromContext(ctx).SetAttributes(attribute.StringSlice("rewrite.rules", names))
	}
	return nil
}

// facts are what expressions see: the letter's, and the header's author.
func (d *desk) facts() *policy.Facts {
	f := *d.Facts
	f.Author = func() mail.Address {
		if d.load() != nil {
			return mail.Address{}
		}
		return author(d.header)
	}
	return &f
}

// author is the first address of From that can be read (RFC 5322, section
// 3.6.2); the null Address if there is none.
func author(h header.Header) mail.Address {
	for _, f := range h.All("From") {
		value := f.Value()
		for _, m := range header.Mailboxes(value) {
			if a, err := mail.ParseAddress(m.Address(value)); err == nil && a.Domain != "" {
				return a
			}
		}
	}
	return mail.Address{}
}

// edit takes fields out and puts others in, at the end as Exim does. Neither
// can end a field or the header early.
func (d *desk) edit() {
	kept := make(header.Header, 0, len(d.header)+len(d.Add))
	for _, f := range d.header {
		if !named(d.Remove, f.Name()) {
			kept = append(kept, f)
		}
	}
	for _, line := range d.Add {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.Trim(name, " \t"); !ok || !header.IsName(name) {
			continue
		}
		if !d.UTF8 && strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 }) {
			value = mime.QEncoding.Encode("utf-8", strings.Join(strings.Fields(value), " ")) // RFC 2047
		}
		kept = append(kept, header.Make(name, value))
	}
	d.header = kept
}

// named reports whether one of the names is the given one.
func named(names []string, name string) bool {
	if name == "" {
		return false
	}
	for _, n := range names {
		start, any := strings.CutSuffix(n, "*")
		switch {
		case any && len(name) >= len(start) && strings.EqualFold(name[:len(start)], start):
			return true
		case strings.EqualFold(n, name):
			return true
		}
	}
	return false
}
