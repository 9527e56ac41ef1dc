package wire

import gosmtp "github.com/emersion/go-smtp"

// fault is what is wrong with a parameter or with content; the zero fault is
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
	badParameter
	parameterTwice
	unknownParameter
	badSize
	badBody
	badRet
	badEnvID
	badNotify
	badORCPT
	needsUTF8
)

// faults are the replies. Faults of content reach the session's Read at once,
// and the client when the content has ended.
var faults = [...]gosmtp.SMTPError{
	bareLF:           {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: the content has a bare LF, lines end with CR LF (RFC 5321, 2.3.8)"},
	bareCR:           {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: the content has a bare CR, lines end with CR LF (RFC 5321, 2.3.8)"},
	nul:              {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: "Refused: the content has a NUL octet"},
	longLine:         {Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: "Refused: a line of the content is too long"},
	tooBig:           {Code: 552, EnhancedCode: gosmtp.EnhancedCode{5, 3, 4}, Message: "Message exceeds the size limit"},
	smuggled:         {Code: 521, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Refused: a lone dot between wrong line ends; closing"},
	badParameter:     {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "Syntax error in the parameters"},
	parameterTwice:   {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "A parameter is given twice"},
	unknownParameter: {Code: 555, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "A parameter is not known or not supported"},
	badSize:          {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "SIZE is not a number"},
	badBody:          {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "BODY is neither 7BIT nor 8BITMIME"},
	badRet:           {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "RET is neither FULL nor HDRS"},
	badEnvID:         {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "ENVID is not xtext of at most 100 printable characters"},
	badNotify:        {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE, DELAY"},
	badORCPT:         {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "ORCPT is not type;xtext of at most 500 characters"},
	needsUTF8:        {Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 6, 7}, Message: "An address beyond ASCII needs SMTPUTF8"},
}

// reply is what the client is told; f is not sound.
func (f fault) reply() *gosmtp.SMTPError { return &faults[f] }
