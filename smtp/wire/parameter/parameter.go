// Package parameter reads what clients say behind the path of MAIL and RCPT: the
// parameters of ESMTP (RFC 5321, section 4.1.2), as go-smtp's contract has them.
package parameter

import (
	"slices"
	"strconv"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

const (
	// longestEnvID and longestORCPT are those of RFC 3461, sections 4.4 and 4.2.
	longestEnvID = 100
	longestORCPT = 500
)

// parameter is one ESMTP parameter (RFC 5321, section 4.1.2).
type parameter struct {
	keyword string // in upper case
	value   string
	valued  bool
}

func parse(s string) ([]parameter, *gosmtp.SMTPError) {
	var list []parameter
	for word := range strings.FieldsSeq(s) {
		var p parameter
		p.keyword, p.value, p.valued = strings.Cut(word, "=")
		p.keyword = strings.ToUpper(p.keyword)
		if !isKeyword(p.keyword) || p.valued && (p.value == "" || strings.Contains(p.value, "=")) {
			return nil, syntax.reply()
		}
		for _, other := range list {
			if other.keyword == p.keyword {
				return nil, twice.reply()
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

// Mail reads the parameters of MAIL, said at the time now by a client with the
// offers; an error is what it is told.
func Mail(s string, offers Offers, now time.Time) (*gosmtp.MailOptions, Wishes, *gosmtp.SMTPError) {
	var wishes Wishes
	list, refused := parse(s)
	if refused != nil {
		return nil, wishes, refused
	}
	opts := &gosmtp.MailOptions{}
	for _, p := range list {
		refused := mailOption(opts, p)
		if refused == &faults[unknown] {
			refused = offers.wish(&wishes, p, now)
		}
		if refused != nil {
			return nil, wishes, refused
		}
	}
	return opts, wishes, nil
}

func mailOption(opts *gosmtp.MailOptions, p parameter) *gosmtp.SMTPError {
	switch p.keyword {
	case "SIZE":
		size, err := strconv.ParseUint(p.value, 10, 63)
		if err != nil {
			return badSize.reply()
		}
		opts.Size = int64(size)
	case "BODY":
		opts.Body = gosmtp.BodyType(strings.ToUpper(p.value))
		switch opts.Body {
		case gosmtp.Body7Bit, gosmtp.Body8BitMIME:
		case gosmtp.BodyBinaryMIME:
			return Unknown()
		default:
			return badBody.reply()
		}
	case "SMTPUTF8":
		if p.valued {
			return syntax.reply()
		}
		opts.UTF8 = true
	case "REQUIRETLS":
		if p.valued {
			return syntax.reply()
		}
		opts.RequireTLS = true
	case "RET":
		opts.Return = gosmtp.DSNReturn(strings.ToUpper(p.value))
		if opts.Return != gosmtp.DSNReturnFull && opts.Return != gosmtp.DSNReturnHeaders {
			return badRet.reply()
		}
	case "ENVID":
		id, ok := decodeXtext(p.value)
		if !ok || id == "" || len(p.value) > longestEnvID {
			return badEnvID.reply()
		}
		opts.EnvelopeID = id
	default:
		return Unknown()
	}
	return nil
}

// Rcpt reads the parameters of RCPT; an error is what the client is told.
func Rcpt(s string) (*gosmtp.RcptOptions, *gosmtp.SMTPError) {
	list, refused := parse(s)
	if refused != nil {
		return nil, refused
	}
	opts := &gosmtp.RcptOptions{}
	for _, p := range list {
		switch p.keyword {
		case "NOTIFY":
			var ok bool
			if opts.Notify, ok = parseNotify(p.value); !ok {
				return nil, badNotify.reply()
			}
		case "ORCPT":
			kind, address, ok := parseOriginal(p.value)
			if !ok || len(p.value) > longestORCPT {
				return nil, badORCPT.reply()
			}
			opts.OriginalRecipientType, opts.OriginalRecipient = kind, address
		default:
			return nil, Unknown()
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
