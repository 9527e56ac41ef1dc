package outgoing

import (
	"context"
	"errors"
	"fmt"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/arc"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
)

// Sealer is a seal of ARC: a Signer's key, and what it says.
type Sealer struct {
	Signer
	// Servers are those whose Authentication-Results are believed; the first is
	// ourselves, in whose name the seal speaks.
	Servers []string
	// Lookup finds the keys of earlier seals.
	Lookup arc.Lookup
}

// seal is a seal to be made, and the chain that the message came with.
type seal struct {
	chosen
	*Sealer
	chain arc.Chain
	// arrived is the header as it was before anything was changed: what earlier
	// seals are over.
	arrived header.Header
	// body is the hash of the body as it was then, in the form that the chain has;
	// nil where that is the body that goes out.
	body []byte
}

// sealing finds the seal that a letter gets, nil if it gets none: the first rule
// that holds decides.
func (r *Rules) sealing(d *desk) (*seal, error) {
	for i := range r.Seal {
		s := &r.Seal[i]
		c, ok, err := s.choose(d)
		if err != nil {
			return nil, fmt.Errorf("arc: %w", err)
		}
		if !ok {
			continue
		}
		made := &seal{chosen: c, Sealer: s, arrived: d.header}
		if err := made.arrive(d); err != nil {
			return nil, err
		}
		if !made.chain.Sealable() {
			return nil, nil
		}
		return made, nil
	}
	return nil, nil
}

// arrive reads the chain that a letter came with. What was converted since is
// read once more, as it is stored: the seal says whether earlier ones held when
// the message arrived (RFC 8617, section 5.1), not whether we have broken them.
func (s *seal) arrive(d *desk) error {
	if d.stored == nil {
		if d.arrived != nil {
			s.arrived = d.arrived
		}
		s.chain = arc.Read(s.arrived)
		return nil
	}
	content, err := d.stored()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	stored := desk{Letter: Letter{Content: content}}
	if err := stored.load(); err != nil {
		return err
	}
	s.arrived, s.chain = stored.header, arc.Read(stored.header)
	form, ok := s.chain.Body()
	if !ok {
		return nil
	}
	body := canon.NewBody(form)
	if _, err := stored.source.WriteTo(body); err != nil {
		return fmt.Errorf("read the content: %w", err)
	}
	s.body = body.Sum()
	return nil
}

// forms are those in which the body is hashed for the seal.
func (s *seal) forms() []canon.Form {
	forms := []canon.Form{s.Signature.Canon.Body}
	if form, ok := s.chain.Body(); ok && s.body == nil {
		forms = append(forms, form)
	}
	return forms
}

// fields makes the set of a header, of which sums are the body's.
func (s *seal) fields(ctx context.Context, h header.Header, sums map[canon.Form][]byte, d *desk) (header.Header, error) {
	body := s.body
	if form, ok := s.chain.Body(); ok && body == nil {
		body = sums[form]
	}
	found, why, err := s.chain.Verify(ctx, s.arrived, body, s.Lookup, d.Now)
	if err != nil {
		return nil, &Refusal{mail.Reply{Code: 451, Enhanced: "4.4.3", Text: "a key of the message's ARC chain cannot be looked up now"}, err}
	}
	// It goes on the chain that goes out, of which fields may have been taken out.
	out := arc.Read(h)
	if left, broken := out.Shape(); left != arc.Pass {
		found, why = left, broken
	}
	set, err := out.Seal(h, found, sums[s.Signature.Canon.Body], s.Servers[0], arc.Results(s.arrived, s.Servers), s.Signature, d.Now)
	switch {
	case errors.Is(err, dkim.ErrNoAuthor): // From was taken out
		return nil, nil
	case err != nil:
		return nil, unusable(fmt.Errorf("arc %s: %w", s.chosen.name, err))
	}
	d.broken = why
	return set, nil
}
