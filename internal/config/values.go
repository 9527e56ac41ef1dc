package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"quorumta/internal/mail"
)

// Address is a mail address.
type Address mail.Address

// Reply is an SMTP reply written as "550 5.7.1 text".
type Reply mail.Reply

var errReply = errors.New("a reply is written as 550 5.7.1 text, with 4 or 5 as its first digit")

// Parse reads an address with a domain.
func (a *Address) Parse(s string) error {
	v, err := mail.ParseAddress(s)
	if err != nil || v.Domain == "" {
		return fmt.Errorf("%q is not a mail address with a domain", s)
	}
	*a = Address(v)
	return nil
}

// Parse reads code, enhanced code and text of a refusal.
func (r *Reply) Parse(s string) error {
	fields := strings.SplitN(s, " ", 3)
	code, err := strconv.Atoi(fields[0])
	if err != nil || len(fields) < 3 || (code/100 != 4 && code/100 != 5) || strings.Count(fields[1], ".") != 2 || fields[1][:1] != fields[0][:1] {
		return errReply
	}
	*r = Reply(mail.Reply{Code: code, Enhanced: fields[1], Text: fields[2]})
	return nil
}
