package smtpc

import (
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// finals hears what became of the message for each recipient that was accepted,
// in their order (RFC 2033, section 4.2; after BDAT LAST section 4.3). When the
// connection ends between them those that were not told about are in doubt: a
// server may deliver to all before it speaks. A 421 is a word to its recipient,
// and the connection's last.
func (c *Conn) finals(res *transport.Result) error {
	res.Finals = make([]mail.Reply, len(res.Rcpts))
	leaves := false
	for i, rcpt := range res.Rcpts {
		if !rcpt.Positive() {
			continue
		}
		reply, _, err := c.read(c.o.Timeouts.Dot)
		if err != nil {
			return c.fail(transport.PhaseDot, mail.Reply{}, err)
		}
		res.Finals[i] = reply
		leaves = leaves || reply.Code == 421
	}
	if leaves {
		c.Close()
	}
	return nil
}
