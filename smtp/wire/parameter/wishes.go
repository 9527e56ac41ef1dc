package parameter

import (
	"strconv"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/internal/mail"
)

// longestHold is the largest interval that can be written (RFC 4865, section
// 4): nine digits of seconds.
const longestHold = 999_999_999 * time.Second

// Offers are the extensions that not every client is offered. Zero: none.
type Offers struct {
	// Hold is for how long a client may have its message held back (RFC 4865),
	// in whole seconds.
	Hold time.Duration
	// Priority: a client may say how urgent its message is (RFC 6710).
	Priority bool
}

// Wishes are what MAIL says that go-smtp's contract has no words for.
type Wishes struct {
	// Release is when the message is to be released (RFC 4865); zero: at once.
	Release time.Time
	// Priority is that of the message (RFC 6710, which has the parameter at MAIL;
	// go-smtp has it at RCPT).
	Priority mail.Priority
}

// Extensions are the lines of the answer to EHLO at the time now.
func (o Offers) Extensions(now time.Time) []string {
	var list []string
	if o.Hold > 0 {
		hold := min(o.Hold, longestHold).Truncate(time.Second)
		list = append(list, "FUTURERELEASE "+strconv.FormatInt(int64(hold/time.Second), 10)+" "+now.Add(hold).UTC().Format(time.RFC3339))
	}
	if o.Priority {
		list = append(list, "MT-PRIORITY")
	}
	return list
}

// wish reads a parameter that not every client is offered.
func (o Offers) wish(w *Wishes, p parameter, now time.Time) *gosmtp.SMTPError {
	switch {
	case p.keyword == "HOLDFOR" && o.Hold > 0:
		seconds, err := strconv.ParseUint(p.value, 10, 32)
		if err != nil || len(p.value) > 9 || seconds == 0 {
			return badHoldFor.reply()
		}
		return o.hold(w, now.Add(time.Duration(seconds)*time.Second), now)
	case p.keyword == "HOLDUNTIL" && o.Hold > 0:
		until, err := time.Parse(time.RFC3339, p.value)
		if err != nil {
			return badHoldUntil.reply()
		}
		return o.hold(w, until.UTC(), now)
	case p.keyword == "MT-PRIORITY" && o.Priority:
		n, err := strconv.Atoi(p.value)
		if err != nil || n < int(mail.LowestPriority) || n > int(mail.HighestPriority) || strings.HasPrefix(p.value, "+") {
			return badPriority.reply()
		}
		w.Priority = mail.Priority(n)
		return nil
	}
	return Unknown()
}

// hold takes a time of release. One that has come means that there is nothing
// to wait for: clocks differ, and a message may have been under way for long.
func (o Offers) hold(w *Wishes, until, now time.Time) *gosmtp.SMTPError {
	switch {
	case !w.Release.IsZero():
		return twice.reply() // RFC 4865, section 4: one of the two
	case until.Sub(now) > o.Hold:
		return tooFar.reply()
	}
	w.Release = until
	return nil
}
