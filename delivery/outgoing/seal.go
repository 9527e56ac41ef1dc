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
		made := &seal{chosen: c, Sealer: s, chain: arc.Read(d.header), arrived: d.header}
		if d.arrived != nil {
			made.arrived = d.arrived
		}
		if !made.chain.Sealable() {
			return nil, nil
		}
		return made, nil
	}
	return nil, nil
}

// forms are those in which the body is hashed for the seal.
func (s *seal) forms() []canon.Form {
	forms := []canon.Form{s.Signature.Canon.Body}
	if form, ok := s.chain.Body(); ok {
		forms = append(forms, form)
	}
	return forms
}

// fields makes the set of a header, of which sums are the body's.
func (s *seal) fields(ctx context.Context, h header.Header, sums map[canon.Form][]byte, d *desk) (header.Header, error) {
	form, _ := s.chain.Body()
	found, why, err := s.chain.Verify(ctx, s.arrived, sums[form], s.Lookup, d.Now)
	if err != nil {
		return nil, &Refusal{mail.Reply{Code: 451, Enhanced: "4.4.3", Text: "a key of the message's ARC chain cannot be looked up now"}, err}
	}
	set, err := s.chain.Seal(h, found, sums[s.Signature.Canon.Body], s.Servers[0], arc.Results(s.arrived, s.Servers), s.Signature, d.Now)
	switch {
	case errors.Is(err, dkim.ErrNoAuthor): // From was taken out
		return nil, nil
	case err != nil:
		return nil, unusable(fmt.Errorf("arc %s: %w", s.chosen.name, err))
	}
	d.broken = why
	return set, nil
}
