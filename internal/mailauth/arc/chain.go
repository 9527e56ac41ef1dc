package arc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
)

// Status is the state of a chain (RFC 8617, section 4.4), as cv= has it.
type Status string

// The states.
const (
	None Status = "none"
	Pass Status = "pass"
	Fail Status = "fail"
)

// maxSets is the longest chain (RFC 8617, section 4.2.1).
const maxSets = 50

// The names of the three fields of a set.
const (
	sealName    = "ARC-Seal"
	messageName = "ARC-Message-Signature"
	resultsName = "ARC-Authentication-Results"
)

// set is the fields of one instance.
type set struct {
	results, message, seal             header.Field
	resultsTags, messageTags, sealTags map[string]string
}

// Chain is the sets of a message.
type Chain struct {
	sets []set
	// highest is the highest instance that was seen, whatever it looks like.
	highest int
	// broken is why there is no chain though there are fields.
	broken error
}

// Read takes the chain out of a header and checks its structure (RFC 8617,
// section 5.2, steps 1 to 3).
func Read(h header.Header) Chain {
	var c Chain
	found := map[int]*set{}
	for _, f := range h {
		if err := c.take(f, found); err != nil {
			c.broken = err
		}
	}
	if c.broken != nil {
		return c
	}
	for i := 1; i <= c.highest; i++ {
		s := found[i]
		if s == nil || s.results == "" || s.message == "" || s.seal == "" {
			c.broken = fmt.Errorf("set %d is not complete", i)
			return c
		}
		want := Pass
		if i == 1 {
			want = None
		}
		cv := Status(s.sealTags["cv"])
		if cv == Fail && i == c.highest {
			c.broken = errFailed
		} else if cv != want {
			c.broken = fmt.Errorf("seal %d says cv=%s", i, cv)
		}
		c.sets = append(c.sets, *s)
	}
	return c
}

// errFailed: an earlier relay has sealed that the chain is broken.
var errFailed = errors.New("the last seal says cv=fail")

// take notes a field, if it is one of a set.
func (c *Chain) take(f header.Field, found map[int]*set) error {
	name := f.Name()
	if !slices.ContainsFunc([]string{sealName, messageName, resultsName}, func(n string) bool { return strings.EqualFold(n, name) }) {
		return nil
	}
	value := f.Value()
	if strings.EqualFold(name, resultsName) {
		value, _, _ = strings.Cut(value, ";") // its other parts are no tags
	}
	tags, err := dkim.ParseTags(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	i, err := strconv.Atoi(tags["i"])
	if err != nil || i < 1 || i > maxSets {
		return fmt.Errorf("%s has the instance %q", name, tags["i"])
	}
	c.highest = max(c.highest, i)
	s := found[i]
	if s == nil {
		s = &set{}
		found[i] = s
	}
	field, into := &s.seal, &s.sealTags
	switch {
	case strings.EqualFold(name, messageName):
		field, into = &s.message, &s.messageTags
	case strings.EqualFold(name, resultsName):
		field, into = &s.results, &s.resultsTags
	}
	if *field != "" {
		return fmt.Errorf("%s %d stands there twice", name, i)
	}
	*field, *into = f, tags
	return nil
}

// Body is the form in which Verify needs the body's hash; false where it needs
// none.
func (c *Chain) Body() (canon.Form, bool) {
	if c.broken != nil || len(c.sets) == 0 {
		return "", false
	}
	pair, ok := canon.ParsePair(c.sets[len(c.sets)-1].messageTags["c"])
	return pair.Body, ok
}

// Lookup finds the TXT records of a name. An error that wraps ErrNoRecord says
// that there are none; all others are failures that pass.
type Lookup func(ctx context.Context, name string) ([]string, error)

// ErrNoRecord is what a Lookup says of a name without records.
var ErrNoRecord = errors.New("there is no such record")

// temporary is a failure that passes.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// Shape is the state of the chain by its structure alone, which Pass says is whole;
// why tells what is wrong with one that fails.
func (c *Chain) Shape() (s Status, why error) {
	switch {
	case c.broken != nil:
		return Fail, c.broken
	case len(c.sets) == 0:
		return None, nil
	}
	return Pass, nil
}

// Verify is the state of the chain of a message with the header h and the body's
// hash in the form Body (RFC 8617, section 5.2). why tells what is wrong with
// one that fails. The error is a failure to look up a key, for now.
func (c *Chain) Verify(ctx context.Context, h header.Header, bodyHash []byte, lookup Lookup, now time.Time) (s Status, why, err error) {
	if s, why = c.Shape(); s != Pass {
		return s, why, nil
	}
	why = c.verify(ctx, h, bodyHash, lookup, now)
	var t temporary
	switch {
	case errors.As(why, &t):
		return Fail, nil, t.error
	case why != nil:
		return Fail, why, nil
	}
	return Pass, nil, nil
}

func (c *Chain) verify(ctx context.Context, h header.Header, bodyHash []byte, lookup Lookup, now time.Time) error {
	last := &c.sets[len(c.sets)-1]
	if err := checkMessage(ctx, last, h, bodyHash, lookup, now); err != nil {
		return fmt.Errorf("%s %d: %w", messageName, len(c.sets), err)
	}
	for n := len(c.sets); n > 0; n-- {
		s := &c.sets[n-1]
		if s.sealTags["h"] != "" {
			return fmt.Errorf("%s %d has a tag h", sealName, n) // section 4.1.3
		}
		hash := dkim.HashFields(c.upTo(n-1, s), dkim.Unsigned(s.seal))
		if err := check(ctx, s.sealTags, hash, lookup); err != nil {
			return fmt.Errorf("%s %d: %w", sealName, n, err)
		}
	}
	return nil
}

// upTo are the fields of the first n sets in the order in which they are sealed,
// and those of s without its seal (RFC 8617, section 5.1.1).
func (c *Chain) upTo(n int, s *set) []header.Field {
	var fields []header.Field
	for i := range n {
		fields = append(fields, c.sets[i].results, c.sets[i].message, c.sets[i].seal)
	}
	return append(fields, s.results, s.message)
}

// checkMessage verifies a message signature. One that covers a part of the body
// only (l=) protects nothing, and does not count.
func checkMessage(ctx context.Context, s *set, h header.Header, bodyHash []byte, lookup Lookup, now time.Time) error {
	tags := s.messageTags
	form, ok := canon.ParsePair(tags["c"])
	names := strings.Split(tags["h"], ":")
	if !ok || !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "From") }) {
		return errors.New("it has a form, or fields, that cannot be")
	}
	if _, part := tags["l"]; part {
		return errors.New("it covers a part of the body")
	}
	if x, ok := tags["x"]; ok {
		if end, err := strconv.ParseInt(x, 10, 64); err != nil || now.Unix() > end {
			return errors.New("it has expired")
		}
	}
	if tags["bh"] != base64.StdEncoding.EncodeToString(bodyHash) {
		return errors.New("the body has changed")
	}
	return check(ctx, tags, dkim.Hash(h, names, form.Header, dkim.Unsigned(s.message)), lookup)
}

// check verifies the signature of a field with the key that it names.
func check(ctx context.Context, tags map[string]string, hash []byte, lookup Lookup) error {
	if !dkim.IsDomain(strings.ToLower(tags["d"])) || !dkim.IsDomain(strings.ToLower(tags["s"])) {
		return errors.New("it names no key")
	}
	records, err := lookup(ctx, dkim.RecordName(tags["s"], tags["d"]))
	if errors.Is(err, ErrNoRecord) {
		return err
	}
	if err != nil {
		return temporary{err}
	}
	err = ErrNoRecord
	for _, record := range records {
		var key *dkim.PublicKey
		if key, err = dkim.ParseRecord(record); err == nil {
			return key.Verify(tags["a"], hash, tags["b"])
		}
	}
	return err
}
