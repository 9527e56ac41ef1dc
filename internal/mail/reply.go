package mail

import "fmt"

// Reply is a server's answer to a command: RFC 5321, section 4.2, with the
// enhanced status code of RFC 3463. A remote server's refusal is such a value,
// not an error.
type Reply struct {
	// Code is the three-digit reply code; 0 means there was no reply.
	Code int
	// Enhanced is the enhanced status code, as "4.3.1"; "" if there was none.
	Enhanced string
	// Text is the rest; the lines of a multi-line reply are joined by "\n".
	Text string
}

// Positive reports whether the code is 2yz.
func (r Reply) Positive() bool { return r.Code/100 == 2 }

// Transient reports whether the code is 4yz.
func (r Reply) Transient() bool { return r.Code/100 == 4 }

// Permanent reports whether the code is 5yz.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// String is the reply on one line: "250 2.0.0 Ok".
func (r Reply) String() string {
	if r.Enhanced == "" {
		return fmt.Sprintf("%03d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%03d %s %s", r.Code, r.Enhanced, r.Text)
}
