// Package srs rewrites reverse-paths of mail that is forwarded, so that the
// sender is in a domain of the forwarder's, as SPF wants it, and rewrites back
// what comes to such an address (Sender Rewriting Scheme; there is no RFC, the
// form is that of libsrs2 and postsrsd).
//
//	SRS0=HHHH=TT=domain=local@forwarder    local@domain, forwarded for the first time
//	SRS1=HHHH=first==HHHH=TT=domain=local@forwarder
//	                                       what first has made an SRS0 of
//
// HHHH is a keyed hash, which nobody else can make, TT the day modulo 1024. A
// hash in the wrong case counts as right: some hosts change the case of
// local-parts.
package srs

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"slices"
	"strings"
	"time"

	"quorumta/internal/mail"
)

// Rewriter rewrites addresses; safe for concurrent use.
type Rewriter struct {
	// Domain is where rewritten addresses are.
	Domain string
	// Secrets: the first is used for new addresses, all are good for those that
	// come back.
	Secrets [][]byte
	// SHA1 uses HMAC-SHA1, as libsrs2 and postsrsd do; otherwise it is
	// HMAC-SHA256.
	SHA1 bool
	// Length is how many characters of the hash an address has; of those that
	// come back no fewer are taken.
	Length int
	// MaxAge is for how many days an address is good, at most 1023.
	MaxAge int
	// Separator stands behind SRS0 and SRS1: "=", "+" or "-". All three are
	// understood.
	Separator byte
}

// What is wrong with an address that comes back.
var (
	// ErrNone: it is no rewritten address of ours.
	ErrNone = errors.New("it is no rewritten address")
	// ErrForged: its hash, or its form, is not one that we have made.
	ErrForged = errors.New("the rewritten address is forged")
	// ErrExpired: it is too old.
	ErrExpired = errors.New("the rewritten address has expired")
	// ErrTooLong: a rewritten address would be longer than RFC 5321, section
	// 4.5.3.1.1, allows.
	ErrTooLong = errors.New("the rewritten address would be too long")
)

const (
	// days is how many days two characters tell apart.
	days = 1024
	// base32 is the alphabet of days.
	base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	// maxLocal is the longest local-part (RFC 5321, section 4.5.3.1.1).
	maxLocal = 64
)

// Forward makes an address of the forwarder's out of a sender's. One in Domain,
// and the null address, stay as they are.
func (r *Rewriter) Forward(a mail.Address, now time.Time) (mail.Address, error) {
	if a.IsNull() || strings.EqualFold(a.Domain, r.Domain) {
		return a, nil
	}
	local := ""
	switch rest, level := tagged(a.Local); level {
	case 0:
		// What comes back goes to who forwarded it first: that one has signed it.
		local = r.again(a.Domain, rest)
	case 1:
		_, inner, ok := strings.Cut(rest[1:], "=")
		first, opaque, ok2 := strings.Cut(inner, "=")
		if ok && ok2 && first != "" {
			local = r.again(first, opaque)
			break
		}
		local = r.first(a, now)
	default:
		local = r.first(a, now)
	}
	if len(local) > maxLocal {
		return a, ErrTooLong
	}
	return mail.Address{Local: local, Domain: r.Domain}, nil
}

// first is SRS0.
func (r *Rewriter) first(a mail.Address, now time.Time) string {
	day := int(now.Unix()/86400) % days
	stamp := string([]byte{base32[day>>5], base32[day&31]})
	domain := strings.ToLower(a.Domain)
	sum := r.hash(r.Secrets[0], stamp, domain, a.Local)
	return "SRS0" + string(r.Separator) + sum[:r.Length] + "=" + stamp + "=" + domain + "=" + a.Local
}

// again is SRS1; rest is the local-part at the first forwarder, behind SRS0.
func (r *Rewriter) again(first, rest string) string {
	sum := r.hash(r.Secrets[0], first, rest)
	return "SRS1" + string(r.Separator) + sum[:r.Length] + "=" + first + "=" + rest
}

// Reverse finds the address that Forward has rewritten.
func (r *Rewriter) Reverse(a mail.Address, now time.Time) (mail.Address, error) {
	rest, level := tagged(a.Local)
	if level < 0 || !strings.EqualFold(a.Domain, r.Domain) {
		return a, ErrNone
	}
	sum, rest, ok := strings.Cut(rest[1:], "=")
	if !ok {
		return a, ErrForged
	}
	if level == 1 {
		first, opaque, ok := strings.Cut(rest, "=")
		if !ok || first == "" || opaque == "" || !r.right(sum, first, opaque) {
			return a, ErrForged
		}
		return back("SRS0"+opaque, first)
	}
	parts := strings.SplitN(rest, "=", 3)
	if len(parts) != 3 || !r.right(sum, parts...) {
		return a, ErrForged
	}
	if !r.young(parts[0], now) {
		return a, ErrExpired
	}
	return back(parts[2], parts[1])
}

// back is an address that was signed by us, if it is one that mail can go to.
func back(local, domain string) (mail.Address, error) {
	a, err := mail.ParseAddress(mail.Address{Local: local, Domain: strings.ToLower(domain)}.String())
	if err != nil || a.Domain == "" {
		return mail.Address{}, ErrForged
	}
	return a, nil
}

// tagged is what stands behind SRS0 (level 0) or SRS1 (level 1) of a
// local-part, with the separator; -1 for all others.
func tagged(local string) (rest string, level int) {
	if len(local) < 6 || !strings.ContainsRune("=+-", rune(local[4])) {
		return "", -1
	}
	switch strings.ToUpper(local[:4]) {
	case "SRS0":
		return local[4:], 0
	case "SRS1":
		return local[4:], 1
	}
	return "", -1
}

// right reports whether a hash was made with one of the secrets.
func (r *Rewriter) right(sum string, texts ...string) bool {
	if len(sum) < r.Length {
		return false
	}
	return slices.ContainsFunc(r.Secrets, func(secret []byte) bool {
		made := r.hash(secret, texts...)
		return len(sum) <= len(made) &&
			hmac.Equal([]byte(strings.ToLower(made[:len(sum)])), []byte(strings.ToLower(sum)))
	})
}

// hash is the hash of texts, whose case does not matter.
func (r *Rewriter) hash(secret []byte, texts ...string) string {
	var kind func() hash.Hash = sha256.New
	if r.SHA1 {
		kind = sha1.New
	}
	mac := hmac.New(kind, secret)
	for _, text := range texts {
		_, _ = mac.Write([]byte(lower(text)))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// lower folds ASCII alone, as C's tolower does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// young reports whether a stamp is of the last MaxAge days.
func (r *Rewriter) young(stamp string, now time.Time) bool {
	if len(stamp) != 2 {
		return false
	}
	stamp = strings.ToUpper(stamp)
	high, low := strings.IndexByte(base32, stamp[0]), strings.IndexByte(base32, stamp[1])
	if high < 0 || low < 0 {
		return false
	}
	today := int(now.Unix()/86400) % days
	return (today-(high<<5|low)+days)%days <= r.MaxAge
}
