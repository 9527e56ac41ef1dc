package wire

import gosmtp "github.com/emersion/go-smtp"

// fault is what is wrong with a command or with content; the zero fault is
// none.
type fault uint8

const (
	sound fault = iota
	bareLF
	bareCR
	nul
	longLine
	tooBig
	smuggled
	needsUTF8
)

// faults are the replies. Faults of content reach the session's Read at once,
// and the client when the content has ended.
var faults = [...]gosmtp.SMTPError{
	bareLF:    {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: the content has a bare LF, lines end with CR LF (RFC 5321, 2.3.8)"},
	bareCR:    {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: the content has a bare CR, lines end with CR LF (RFC 5321, 2.3.8)"},
	nul:       {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: "Refused: the content has a NUL octet"},
	longLine:  {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: "Refused: a line of the content is too long"},
	tooBig:    {Code: 552, EnhancedCode: gosmtp.EnhancedCode{5, 3, 4}, Message: "Message exceeds the size limit"},
	smuggled:  {Code: 521, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: a lone dot between wrong line ends; closing"},
	needsUTF8: {Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 6, 7}, Message: "An address beyond ASCII needs SMTPUTF8"},
}

// reply is what the client is told; f is not sound.
func (f fault) reply() *gosmtp.SMTPError { return &faults[f] }
