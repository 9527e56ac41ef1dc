package wire

import (
	"slices"
	"strconv"
	"strings"

	gosmtp "github.com/emersion/go-smtp"
)

const (
	// longestEnvID and longestORCPT are those of RFC 3461, sections 4.4 and 4.2.
	longestEnvID = 100
	longestORCPT = 500
)

// What parameters are refused with.
var (
	replySyntax    = refusal(501, 5, 5, 4, "Syntax error in the parameters")
	replyTwice     = refusal(501, 5, 5, 4, "A parameter is given twice")
	replyUnknown   = refusal(555, 5, 5, 4, "A parameter is not known or not supported")
	replySize      = refusal(501, 5, 5, 4, "SIZE is not a number")
	replyBody      = refusal(501, 5, 5, 4, "BODY is neither 7BIT nor 8BITMIME")
	replyRet       = refusal(501, 5, 5, 4, "RET is neither FULL nor HDRS")
	replyEnvID     = refusal(501, 5, 5, 4, "ENVID is not xtext of at most 100 printable characters")
	replyNotify    = refusal(501, 5, 5, 4, "NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE, DELAY")
	replyORCPT     = refusal(501, 5, 5, 4, "ORCPT is not type;xtext of at most 500 characters")
	replyNeedsUTF8 = refusal(553, 5, 6, 7, "An address beyond ASCII needs SMTPUTF8")
)

// parameter is one ESMTP parameter (RFC 5321, section 4.1.2).
type parameter struct {
	keyword string // in upper case
	value   string
	valued  bool
}

func parseParameters(s string) ([]parameter, *gosmtp.SMTPError) {
	var list []parameter
	for word := range strings.FieldsSeq(s) {
		var p parameter
		p.keyword, p.value, p.valued = strings.Cut(word, "=")
		p.keyword = strings.ToUpper(p.keyword)
		if !isKeyword(p.keyword) || p.valued && (p.value == "" || strings.Contains(p.value, "=")) {
			return nil, replySyntax
		}
		for _, other := range list {
			if other.keyword == p.keyword {
				return nil, replyTwice
			}
		}
		list = append(list, p)
	}
	return list, nil
}

func isKeyword(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// mailOptions reads the parameters of MAIL.
func mailOptions(s string) (*gosmtp.MailOptions, *gosmtp.SMTPError) {
	list, refused := parseParameters(s)
	if refused != nil {
		return nil, refused
	}
	opts := &gosmtp.MailOptions{}
	for _, p := range list {
		if refused := mailOption(opts, p); refused != nil {
			return nil, refused
		}
	}
	return opts, nil
}

func mailOption(opts *gosmtp.MailOptions, p parameter) *gosmtp.SMTPError {
	switch p.keyword {
	case "SIZE":
		size, err := strconv.ParseUint(p.value, 10, 63)
		if err != nil {
			return replySize
		}
		opts.Size = int64(size)
	case "BODY":
		opts.Body = gosmtp.BodyType(strings.ToUpper(p.value))
		switch opts.Body {
		case gosmtp.Body7Bit, gosmtp.Body8BitMIME:
		case gosmtp.BodyBinaryMIME:
			return replyUnknown
		default:
			return replyBody
		}
	case "SMTPUTF8":
		if p.valued {
			return replySyntax
		}
		opts.UTF8 = true
	case "RET":
		opts.Return = gosmtp.DSNReturn(strings.ToUpper(p.value))
		if opts.Return != gosmtp.DSNReturnFull && opts.Return != gosmtp.DSNReturnHeaders {
			return replyRet
		}
	case "ENVID":
		id, ok := decodeXtext(p.value)
		if !ok || id == "" || len(p.value) > longestEnvID {
			return replyEnvID
		}
		opts.EnvelopeID = id
	default:
		return replyUnknown
	}
	return nil
}

// rcptOptions reads the parameters of RCPT.
func rcptOptions(s string) (*gosmtp.RcptOptions, *gosmtp.SMTPError) {
	list, refused := parseParameters(s)
	if refused != nil {
		return nil, refused
	}
	opts := &gosmtp.RcptOptions{}
	for _, p := range list {
		switch p.keyword {
		case "NOTIFY":
			var ok bool
			if opts.Notify, ok = parseNotify(p.value); !ok {
				return nil, replyNotify
			}
		case "ORCPT":
			kind, address, ok := parseOriginal(p.value)
			if !ok || len(p.value) > longestORCPT {
				return nil, replyORCPT
			}
			opts.OriginalRecipientType, opts.OriginalRecipient = kind, address
		default:
			return nil, replyUnknown
		}
	}
	return opts, nil
}

// parseNotify reads NEVER, or a list of the others (RFC 3461, section 4.1).
func parseNotify(s string) ([]gosmtp.DSNNotify, bool) {
	var list []gosmtp.DSNNotify
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		n := gosmtp.DSNNotify(word)
		switch n {
		case gosmtp.DSNNotifySuccess, gosmtp.DSNNotifyFailure, gosmtp.DSNNotifyDelayed, gosmtp.DSNNotifyNever:
		default:
			return nil, false
		}
		if slices.Contains(list, n) {
			return nil, false
		}
		list = append(list, n)
	}
	return list, len(list) == 1 || !slices.Contains(list, gosmtp.DSNNotifyNever)
}

// parseOriginal reads ORCPT: an address type and the address in xtext (RFC
// 3461, section 4.2), or in one of the forms of RFC 6533, section 3.
func parseOriginal(s string) (kind gosmtp.DSNAddressType, address string, ok bool) {
	name, encoded, _ := strings.Cut(s, ";")
	name = strings.ToUpper(name)
	if !isKeyword(name) || encoded == "" {
		return "", "", false
	}
	kind = gosmtp.DSNAddressType(name)
	if kind == gosmtp.DSNAddressTypeUTF8 {
		address, ok = decodeUTF8Xtext(encoded)
	} else {
		address, ok = decodeXtext(encoded)
	}
	return kind, address, ok
}
