// Package returnpath decides about the reverse-paths that mail goes out with,
// and about mail that comes back to them: SRS for what is forwarded (package
// srs), a tag for what is our own (package batv).
package returnpath

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/batv"
	"quorumta/internal/mailauth/srs"
	"quorumta/internal/policy"
)

// Rules say what is done; safe for concurrent use. Nil does nothing.
type Rules struct {
	// SRS rewrites reverse-paths of forwarded mail where SRSIf holds; nil: none.
	SRS   *srs.Rewriter
	SRSIf *policy.Condition
	// BATV tags those of other mail where BATVIf holds; nil: none. Reports to an
	// address without a tag are refused where Check is set and holds.
	BATV   *batv.Tagger
	BATVIf *policy.Condition
	Check  *policy.Condition
}

// OutGroups are what SRSIf and BATVIf may look at, InGroups what Check may.
func OutGroups() []string { return []string{"client", "sender", "message"} }

// InGroups is told of at OutGroups.
func InGroups() []string { return []string{"client", "sender", "rcpt", "message"} }

// Rewrites reports whether the reverse-paths of forwarded mail are rewritten.
func (r *Rules) Rewrites() bool { return r != nil && r.SRS != nil }

// Out is the reverse-path that a message goes out with. f.Sender is the one that
// it has; forwarded says that its recipient stands in the place of another. An
// address that cannot be rewritten, since it would be too long, stays as it is.
// The error is that of a condition.
func (r *Rules) Out(f *policy.Facts, forwarded bool, now time.Time) (mail.Address, error) {
	if r == nil || f.Sender.IsNull() {
		return f.Sender, nil
	}
	if forwarded && r.SRS != nil {
		holds, err := r.SRSIf.Eval(f)
		if err != nil {
			return f.Sender, fmt.Errorf("srs: %w", err)
		}
		if holds {
			a, _ := r.SRS.Forward(f.Sender, now) // as it is where that is too long
			return a, nil
		}
	}
	if r.BATV == nil || forwarded {
		return f.Sender, nil
	}
	holds, err := r.BATVIf.Eval(f)
	if err != nil {
		return f.Sender, fmt.Errorf("batv: %w", err)
	}
	if !holds {
		return f.Sender, nil
	}
	a, _ := r.BATV.Tag(f.Sender, now)
	return a, nil
}

// What In may say of a recipient.
var (
	// ErrForged: the recipient has the form of an address of ours, and is none.
	ErrForged = errors.New("no mail was sent from this address")
	// ErrBackscatter: a report to an address that no mail leaves with.
	ErrBackscatter = errors.New("mail from this address is tagged: this is no answer to it")
)

// In is where mail to f.Rcpt goes. accepted says that it comes back to a sender
// whose mail we have forwarded, so that it is to be taken whatever the rules
// say. The error is ErrForged, ErrBackscatter, or that of a condition.
func (r *Rules) In(f *policy.Facts, now time.Time) (to mail.Address, accepted bool, err error) {
	if r == nil {
		return f.Rcpt, false, nil
	}
	if r.SRS != nil {
		switch a, err := r.SRS.Reverse(f.Rcpt, now); {
		case err == nil:
			return a, true, nil
		case !errors.Is(err, srs.ErrNone):
			return f.Rcpt, false, ErrForged
		}
	}
	if r.BATV == nil {
		return f.Rcpt, false, nil
	}
	if a, err := r.BATV.Check(f.Rcpt, now); err == nil {
		return a, false, nil
	}
	// Mail with a sender may go to any address; a report goes to a return path
	// alone (RFC 5321, section 6.1).
	if !f.Sender.IsNull() || r.Check == nil || strings.EqualFold(f.Rcpt.Local, "postmaster") {
		return f.Rcpt, false, nil
	}
	holds, err := r.Check.Eval(f)
	switch {
	case err != nil:
		return f.Rcpt, false, fmt.Errorf("batv: %w", err)
	case holds && batv.Tagged(f.Rcpt):
		return f.Rcpt, false, ErrForged
	case holds:
		return f.Rcpt, false, ErrBackscatter
	}
	return f.Rcpt, false, nil
}
