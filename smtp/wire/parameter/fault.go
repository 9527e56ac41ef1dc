package parameter

import gosmtp "github.com/emersion/go-smtp"

// fault is what is wrong with a parameter.
type fault uint8

const (
	syntax fault = iota
	twice
	unknown
	badSize
	badBody
	badRet
	badEnvID
	badNotify
	badORCPT
	badHoldFor
	badHoldUntil
	tooFar
	badPriority
)

// faults are the replies.
var faults = [...]gosmtp.SMTPError{
	syntax:       {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "Syntax error in the parameters"},
	twice:        {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "A parameter is given twice"},
	unknown:      {Code: 555, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "A parameter is not known or not supported"},
	badSize:      {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "SIZE is not a number"},
	badBody:      {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "BODY is neither 7BIT nor 8BITMIME"},
	badRet:       {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "RET is neither FULL nor HDRS"},
	badEnvID:     {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "ENVID is not xtext of at most 100 printable characters"},
	badNotify:    {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE, DELAY"},
	badORCPT:     {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "ORCPT is not type;xtext of at most 500 characters"},
	badHoldFor:   {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "HOLDFOR is not a number of seconds of one to nine digits"},
	badHoldUntil: {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "HOLDUNTIL is not a time as 2006-01-02T15:04:05Z"},
	tooFar:       {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "The time of release is further away than EHLO allows"},
	badPriority:  {Code: 501, EnhancedCode: gosmtp.EnhancedCode{5, 5, 4}, Message: "MT-PRIORITY is not a number from -9 to 9"},
}

func (f fault) reply() *gosmtp.SMTPError { return &faults[f] }

// Unknown is what a client is told of a parameter that is not offered.
func Unknown() *gosmtp.SMTPError { return unknown.reply() }
