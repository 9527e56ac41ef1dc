package smtp

import (
	"errors"
	"fmt"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/internal/mail"
	"quorumta/queue"
)

// What clients are told.
var (
	replyUnavailable = reply(451, 4, 3, 0, "Mail cannot be stored safely now, try again later")
	replyDiskFull    = reply(452, 4, 3, 1, "Not enough storage now, try again later")
	replyPolicy      = reply(451, 4, 3, 5, "The policy cannot be evaluated now, try again later")
	replyBadSender   = reply(501, 5, 1, 7, "The sender is not a mail address")
	replyBadRcpt     = reply(501, 5, 1, 3, "The recipient is not a mail address")
	replyLoop        = reply(554, 5, 4, 6, "Too many Received fields: the message seems to loop")
)

func reply(code, class, subject, detail int, text string) *gosmtp.SMTPError {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{class, subject, detail}, Message: text}
}

// queueReply is what a client is told when the queue fails: never 5yz.
func queueReply(err error) *gosmtp.SMTPError {
	if errors.Is(err, queue.ErrDiskFull) {
		return replyDiskFull
	}
	return replyUnavailable
}

// decided is a reply of the policy.
func decided(r mail.Reply) *gosmtp.SMTPError {
	e := &gosmtp.SMTPError{Code: r.Code, Message: r.Text}
	c := &e.EnhancedCode
	if _, err := fmt.Sscanf(r.Enhanced, "%d.%d.%d", &c[0], &c[1], &c[2]); err != nil {
		e.EnhancedCode = gosmtp.EnhancedCodeNotSet
	}
	return e
}

func queued(id mail.MessageID) *gosmtp.SMTPError {
	return reply(250, 2, 0, 0, "Ok: queued as "+string(id))
}
