package dsn

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// status is the content of the message/delivery-status part (RFC 3464,
// section 2.1).
func (r *report) status(d detail) []byte {
	w := &writer{ascii: !r.utf8}
	w.field("Original-Envelope-Id", r.m.Accepted.Envelope.EnvID)
	w.field("Reporting-MTA", "dns; "+r.Hostname)
	w.field("Arrival-Date", r.m.At.UTC().Format(dateFormat))
	if released := r.m.Released(); released.After(r.m.At) {
		w.field("Future-Release-Request", "until; "+released.UTC().Format(time.RFC3339)) // RFC 4865
	}
	w.field("X-Quorumta-Id", string(r.m.Accepted.ID))
	for _, s := range r.rcpts {
		w.line("")
		r.recipient(w, s, d)
	}
	return w.Bytes()
}

func (r *report) recipient(w *writer, s Status, d detail) {
	to := &r.m.Recipients[s.N]
	if d.fields {
		w.field("Original-Recipient", original(to.Original))
	}
	w.field("Final-Recipient", addressType(to.Address)+"; "+to.Address.String())
	w.field("Action", string(s.Action))
	w.field("Status", s.code())
	if !d.fields {
		return
	}
	if s.Host != "" && s.Reply.Code != 0 {
		w.field("Remote-MTA", "dns; "+bracketed(s.Host))
	}
	if text := s.diagnostic(); text != "" && d.diagnostic > 0 {
		// Only what a remote server said is of type smtp (section 2.3.6).
		kind := "X-Quorumta; "
		if s.Host != "" && s.Reply.Code != 0 {
			kind = "smtp; "
		}
		w.field("Diagnostic-Code", kind+clean(text, w.ascii, d.diagnostic))
	}
	w.date("Last-Attempt-Date", s.LastAttempt)
	if s.Action == Delayed {
		w.date("Will-Retry-Until", s.RetryUntil)
	}
}

func (w *writer) date(name string, t time.Time) {
	if !t.IsZero() {
		w.field(name, t.UTC().Format(dateFormat))
	}
}

// original is ORCPT's "type;address", with the space that the examples of RFC
// 3464 have.
func original(orcpt string) string {
	kind, address, ok := strings.Cut(orcpt, ";")
	if !ok {
		return ""
	}
	return kind + "; " + address
}

// addressType is rfc822, or utf-8 for what that cannot hold (RFC 6533,
// section 3).
func addressType(a mail.Address) string {
	if a.ASCII() {
		return "rfc822"
	}
	return "utf-8"
}

func bracketed(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "[" + host + "]"
	}
	return host
}

// diagnostic is the reply on one line, or why there was none.
func (s Status) diagnostic() string {
	if s.Reply.Code == 0 {
		return s.Reply.Text
	}
	return s.Reply.String()
}

var enhancedPattern = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}$`)

// code is the status code of RFC 3463: the server's own where it has the class
// of its reply, else one that says what failed.
func (s Status) code() string {
	enhanced := s.Reply.Enhanced
	switch s.Action {
	case Delivered, Relayed, Expanded:
		if enhancedPattern.MatchString(enhanced) && enhanced[0] == '2' {
			return enhanced
		}
		return "2.0.0"
	}
	class := s.Reply.Code / 100
	if class == 4 || class == 5 {
		if enhancedPattern.MatchString(enhanced) && int(enhanced[0]-'0') == class {
			return enhanced
		}
		return fmt.Sprintf("%d.0.0", class)
	}
	if s.Expired {
		return "4.4.7"
	}
	class = 5
	if s.Action == Delayed {
		class = 4
	}
	return fmt.Sprintf("%d.%s", class, detailOf(s.Error))
}

// detailOf is the rest of a status code without a reply (RFC 3463, sections
// 3.5 and 3.8).
func detailOf(kind event.ErrorKind) string {
	switch kind {
	case event.ErrorConnect, event.ErrorRefused, event.ErrorConnectTimeout:
		return "4.1" // no answer from host
	case event.ErrorTimeout, event.ErrorLost:
		return "4.2" // bad connection
	case event.ErrorRouting:
		return "4.4" // unable to route
	case event.ErrorAuth:
		return "7.8" // authentication credentials invalid (RFC 4954, section 6)
	case event.ErrorQuota:
		return "2.2" // mailbox full
	case event.ErrorTLS, event.ErrorTLSRequired:
		return "7.5" // cryptographic failure
	case event.ErrorInternal:
		return "3.0" // mail system
	}
	return "0.0"
}
