package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Kind is what a report is about.
type Kind uint8

// The kinds of reports; each goes out only to those who want it by NOTIFY.
const (
	Failure Kind = 1
	Delay   Kind = 2
	Success Kind = 3
)

// Action is an Action field's value (RFC 3464, section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// Status is what became of one recipient.
type Status struct {
	// N is the recipient's index in the message.
	N int
	// Action is "" for that of the report's kind: failed, delayed, relayed.
	Action Action
	// Reply is the last one; Code 0 where no server answered.
	Reply mail.Reply
	// Host is the server that replied or was tried; "" if it was ourselves.
	Host string
	// Error is what failed.
	Error event.ErrorKind
	// Expired says that the retry time has ended.
	Expired bool
	// LastAttempt is zero if there was none.
	LastAttempt time.Time
	// RetryUntil is when a delayed recipient will fail; zero if unknown.
	RetryUntil time.Time
}

// String is the kind's name in conditions.
func (k Kind) String() string {
	return map[Kind]string{Failure: "failure", Delay: "delay", Success: "success"}[k]
}

// Builder writes the reports of one node; safe for concurrent use.
type Builder struct {
	// Hostname is in From (MAILER-DAEMON@hostname) and Reporting-MTA.
	Hostname string
	// Postmaster is named as whom to ask; null: postmaster@hostname.
	Postmaster mail.Address
	// MaxBody is the largest content returned whole, of at most half of
	// event.MaxPart; 0 means 50 KB.
	MaxBody int64
	// Return is for senders that gave no RET; unset: headers.
	Return mail.Return
	// Rules say which reports are made; Templates have the words, nil means
	// those that come with the program.
	Rules     Rules
	Templates *Templates
	// Copy gets a copy of the reports of failures; null: nobody does.
	Copy mail.Address
	// DoubleBounces has the postmaster told of what fails and has no sender.
	DoubleBounces bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is told of rules and templates that fail; nil means slog.Default.
	Log *slog.Logger
}

func (b *Builder) log() *slog.Logger {
	if b.Log == nil {
		return slog.Default()
	}
	return b.Log
}

// report is one report being written.
type report struct {
	*Builder
	kind  Kind
	m     *state.Message
	to    mail.Address
	rcpts []Status
	now   time.Time
	// header has the fields of the message that it is about.
	header   map[string]string
	returned returned
	// utf8 says that the report is an SMTPUTF8 message (RFC 6533).
	utf8 bool
	// set are the templates in use, tongue is the name of some of them; subject is
	// what they say.
	set             *Templates
	tongue, subject string
}

// double: it goes to the postmaster, for want of a sender.
func (r *report) double() bool { return r.m.Accepted.Envelope.From.IsNull() }

// detail is how much is said of each recipient.
type detail struct {
	// diagnostic is the longest remote text, in bytes.
	diagnostic int
	// described is how many recipients the words name.
	described int
	// fields says that optional fields are written.
	fields bool
}

// details go from what people want to what fits with thousands of recipients.
var details = []detail{{800, 100, true}, {160, 30, true}, {0, 10, false}}

// errTooLarge means that a report of so many recipients fits no event.
var errTooLarge = errors.New("write a report: too many recipients for one report")

// Build writes the report to the Addressee that the recipients have in common, to
// be put into queue.Outcome.Report; content is the message's, read only as far as
// it is returned, and left out where it is empty. The report is nil, without an
// error, where nobody wants one: there is no addressee, NOTIFY of none of the
// recipients asks for it, or a rule is against it.
func (b *Builder) Build(kind Kind, to mail.Address, m *state.Message, rcpts []Status, content io.Reader) (*event.Accepted, error) {
	if to.IsNull() {
		return nil, nil
	}
	r := report{Builder: b, kind: kind, m: m, to: to, now: time.Now(), set: b.Templates}
	if b.Now != nil {
		r.now = b.Now()
	}
	if !slices.ContainsFunc(rcpts, r.asked) {
		return nil, nil // most deliveries: the content is not read
	}
	var err error
	if r.returned, err = r.read(content); err != nil {
		return nil, fmt.Errorf("write a report on %s: %w", m.Accepted.ID, err)
	}
	r.header = header.Texts(r.returned.text)
	for _, status := range rcpts {
		if r.wanted(status) {
			r.rcpts = append(r.rcpts, r.complete(status))
		}
	}
	if len(r.rcpts) == 0 {
		return nil, nil
	}
	if r.set == nil {
		if r.set, err = NewTemplates(nil); err != nil {
			return nil, err
		}
	}
	r.tongue, r.utf8 = r.language(), r.needsUTF8()
	text, err := r.fit()
	if err != nil {
		return nil, err
	}
	return &event.Accepted{
		Envelope: mail.Envelope{
			Recipients: r.recipients(), EightBit: !isASCII(text), UTF8: r.utf8,
			RequireTLS: m.Accepted.Envelope.RequireTLS, // RFC 8689, section 5
		},
		HeaderID: r.messageID(),
		Subject:  r.subject,
		Size:     int64(len(text)),
		Content:  text,
		Trace:    m.Accepted.Trace,
		Cause:    m.Accepted.ID,
	}, nil
}

// recipients are those of the report.
func (r *report) recipients() []mail.Recipient {
	list := []mail.Recipient{{Address: r.to, Notify: mail.NotifyNever}}
	if r.kind == Failure && !r.Copy.IsNull() && r.Copy != r.to {
		list = append(list, mail.Recipient{Address: r.Copy, Notify: mail.NotifyNever})
	}
	return list
}

func (k Kind) notify() mail.Notify {
	switch k {
	case Delay:
		return mail.NotifyDelay
	case Success:
		return mail.NotifySuccess
	}
	return mail.NotifyFailure
}

// complete fills in the action of the report's kind.
func (r *report) complete(s Status) Status {
	if s.Action == "" {
		s.Action = map[Kind]Action{Failure: Failed, Delay: Delayed, Success: Relayed}[r.kind]
	}
	return s
}

// needsUTF8 reports whether an address of the report, or the message that it
// returns, cannot be written without SMTPUTF8.
func (r *report) needsUTF8() bool {
	if r.m.Accepted.Envelope.UTF8 || !r.to.ASCII() {
		return true
	}
	for _, s := range r.rcpts {
		if !r.m.Recipients[s.N].Address.ASCII() {
			return true
		}
	}
	return false
}

// fit writes the report with as much detail as one event holds, and at last
// without what is returned.
func (r *report) fit() ([]byte, error) {
	for _, d := range details {
		if text := r.write(d); len(text) <= event.MaxPart {
			return text, nil
		}
	}
	r.returned = returned{}
	if text := r.write(details[len(details)-1]); len(text) <= event.MaxPart {
		return text, nil
	}
	return nil, errTooLarge
}

// write composes the message.
func (r *report) write(d detail) []byte {
	w := &writer{ascii: !r.utf8}
	words, status := r.people(d), r.status(d)
	boundary := r.boundary(words, status)
	w.field("Date", r.now.UTC().Format(dateFormat))
	w.field("From", "Mail Delivery System <MAILER-DAEMON@"+r.Hostname+">")
	w.field("To", "<"+r.to.String()+">")
	w.field("Subject", r.subjectField())
	w.field("Message-ID", r.messageID())
	if original := clean(r.m.Accepted.HeaderID, true, 250); validMessageID(original) {
		w.field("In-Reply-To", original)
		w.field("References", original)
	}
	w.field("Auto-Submitted", "auto-replied")
	w.field("MIME-Version", "1.0")
	w.line(`Content-Type: multipart/report; report-type=delivery-status;`)
	w.line("\t" + `boundary="` + boundary + `"`)
	w.line("")
	w.line("This is a report in MIME format (RFC 3464).")
	w.part(boundary, "text/plain; charset=utf-8", "Notification", words)
	statusType := "message/delivery-status"
	if r.utf8 {
		statusType = "message/global-delivery-status"
	}
	w.part(boundary, statusType, "Delivery report", status)
	if len(r.returned.text) > 0 {
		w.part(boundary, r.returned.contentType(r.utf8), r.returned.description(), r.returned.text)
	}
	w.line("")
	w.line("--" + boundary + "--")
	return w.Bytes()
}

// people is the part for them; it sets the subject.
func (r *report) people(d detail) []byte {
	kind := r.kind.String()
	if r.double() {
		kind = "double"
	}
	subject, text, err := r.set.say(r.tongue, kind, r.words(d))
	if err != nil {
		r.log().Warn("a template for reports fails: the words are English ones", "id", r.m.Accepted.ID, "error", err)
	}
	r.subject = subject
	return text
}

// subjectField is the subject as a header field has it: without SMTPUTF8 in
// ASCII (RFC 2047).
func (r *report) subjectField() string {
	if r.utf8 {
		return r.subject
	}
	return mime.QEncoding.Encode("utf-8", r.subject)
}

// messageID is unique: a message has at most one report of a kind at a time.
func (r *report) messageID() string {
	return fmt.Sprintf("<%s.%d.%d@%s>", r.m.Accepted.ID, r.kind, r.now.UnixMicro(), clean(r.Hostname, true, 255))
}

// boundary occurs in no part.
func (r *report) boundary(words, status []byte) string {
	for n := 0; ; n++ {
		boundary := fmt.Sprintf("=_%s.%d.%d", r.m.Accepted.ID, r.now.Unix(), n)
		inside := false
		for _, part := range [][]byte{words, status, r.returned.text} {
			inside = inside || bytes.Contains(part, []byte(boundary))
		}
		if !inside {
			return boundary
		}
	}
}
