package smtp

import (
	"errors"
	"fmt"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/internal/mail"
	"quorumta/queue"
)

// refusal is why a client is refused.
type refusal uint8

const (
	unavailable refusal = iota
	diskFull
	policyFailed
	badSender
	badRecipient
	looping
	forged
	backscatter
)

// refusals are what clients are told.
var refusals = [...]gosmtp.SMTPError{
	unavailable:  {Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "Mail cannot be stored safely now, try again later"},
	diskFull:     {Code: 452, EnhancedCode: gosmtp.EnhancedCode{4, 3, 1}, Message: "Not enough storage now, try again later"},
	policyFailed: {Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 5}, Message: "The policy cannot be evaluated now, try again later"},
	badSender:    {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 1, 7}, Message: "The sender is not a mail address"},
	badRecipient: {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 1, 3}, Message: "The recipient is not a mail address"},
	looping:      {Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 4, 6}, Message: "Too many Received fields: the message seems to loop"},
	forged:       {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "No mail was sent from this address: it is forged, or has expired"},
	backscatter:  {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "No mail was sent from this address: what is sent from there is tagged"},
}

func (r refusal) reply() *gosmtp.SMTPError { return &refusals[r] }

// queueReply is what a client is told when the queue fails: never 5yz.
func queueReply(err error) *gosmtp.SMTPError {
	if errors.Is(err, queue.ErrDiskFull) {
		return diskFull.reply()
	}
	return unavailable.reply()
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

// queued is success as the session contract allows it to be told.
func queued(id mail.MessageID) *gosmtp.SMTPError {
	return &gosmtp.SMTPError{
		Code: 250, EnhancedCode: gosmtp.EnhancedCode{2, 0, 0},
		Message: "Ok: queued as " + string(id),
	}
}
