// Package batv tags the return paths of mail that leaves, and recognises the
// tag in what comes back: a report to an address without a good tag answers
// nothing that we have sent (draft-levine-smtp-batv-01, the method prvs).
//
//	prvs=KDDDSSSSSS=local@domain
//
// K is the number of the key, DDD the day modulo 1000 on which the address
// expires, SSSSSS the first three octets, in hexadecimal, of HMAC-SHA1 over K,
// DDD and the address without the tag.
package batv

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"quorumta/internal/mail"
)

// Tagger tags addresses; safe for concurrent use.
type Tagger struct {
	// Keys by their number, 0 to 9; Key is the number of that which tags.
	Keys map[int][]byte
	Key  int
	// Days is for how many days a tag is good, at most 500.
	Days int
}

// What is wrong with a tag.
var (
	// ErrForged: nobody of us has made it.
	ErrForged = errors.New("the tag of the address is forged")
	// ErrExpired: it is too old.
	ErrExpired = errors.New("the tag of the address has expired")
	// ErrTooLong: a tagged address would be longer than RFC 5321, section
	// 4.5.3.1.1, allows.
	ErrTooLong = errors.New("the tagged address would be too long")
)

const (
	prefix = "prvs="
	// days is how many days three digits tell apart.
	days = 1000
	// valLength is that of KDDDSSSSSS.
	valLength = 10
	// maxLocal is the longest local-part.
	maxLocal = 64
)

// Tag tags an address. One that has a tag, and the null address, stay as they
// are.
func (t *Tagger) Tag(a mail.Address, now time.Time) (mail.Address, error) {
	if a.IsNull() || Tagged(a) {
		return a, nil
	}
	start := fmt.Sprintf("%d%03d", t.Key, (day(now)+t.Days)%days)
	local := prefix + start + t.sum(t.Keys[t.Key], start, a) + "=" + a.Local
	if len(local) > maxLocal {
		return a, ErrTooLong
	}
	return mail.Address{Local: local, Domain: a.Domain}, nil
}

// Tagged reports whether an address has the form of a tagged one.
func Tagged(a mail.Address) bool {
	_, _, ok := cut(a)
	return ok
}

// Check takes the tag off an address that Tag has made. The error tells that it
// is none that is good now.
func (t *Tagger) Check(a mail.Address, now time.Time) (mail.Address, error) {
	val, plain, ok := cut(a)
	if !ok {
		return a, ErrForged
	}
	key, ok := t.Keys[int(val[0]-'0')]
	if !ok || !hmac.Equal([]byte(strings.ToLower(val[4:])), []byte(t.sum(key, val[:4], plain))) {
		return a, ErrForged
	}
	var end int
	if _, err := fmt.Sscanf(val[1:4], "%d", &end); err != nil {
		return a, ErrForged
	}
	if left := (end - day(now)%days + days) % days; left > t.Days {
		return a, ErrExpired
	}
	return plain, nil
}

func day(now time.Time) int { return int(now.Unix() / 86400) }

// cut splits a tagged address.
func cut(a mail.Address) (val string, plain mail.Address, ok bool) {
	if len(a.Local) < len(prefix) || !strings.EqualFold(a.Local[:len(prefix)], prefix) {
		return "", mail.Address{}, false
	}
	val, local, ok := strings.Cut(a.Local[len(prefix):], "=")
	if !ok || len(val) != valLength || local == "" {
		return "", mail.Address{}, false
	}
	for i := range valLength {
		c := val[i]
		digit := c >= '0' && c <= '9'
		if !digit && (i < 4 || (c|0x20) < 'a' || (c|0x20) > 'f') {
			return "", mail.Address{}, false
		}
	}
	return val, mail.Address{Local: local, Domain: a.Domain}, true
}

// sum is SSSSSS. The domain counts in lower case, as an Address has it.
func (t *Tagger) sum(key []byte, start string, a mail.Address) string {
	mac := hmac.New(sha1.New, key)
	_, _ = mac.Write([]byte(start + a.Local + "@" + a.Domain))
	return hex.EncodeToString(mac.Sum(nil)[:3])
}
