package smtpc

import "testing"

// A server that offers MT-PRIORITY is told how urgent a message is, unless it is
// as usual; others are not (RFC 6710).
func TestToldThePriority(t *testing.T) {
	for _, c := range []struct{ offer, parameter string }{{"MT-PRIORITY", " MT-PRIORITY=-3"}, {"HELP", ""}} {
		conn := mustOpen(t, `
			S: 220 them.example ESMTP
			C: EHLO us.example
			S: 250-them.example
			S: 250 `+c.offer+`
			C: MAIL FROM:<me@us.example>`+c.parameter+`
			S: 250 ok
			C: RCPT TO:<a@them.example>
			S: 250 ok
			C: DATA
			S: 354 go
			C: hi
			C: .
			S: 250 done
			C: MAIL FROM:<me@us.example>
			S: 250 ok
			C: RCPT TO:<a@them.example>
			S: 250 ok
			C: DATA
			S: 354 go
			C: ho
			C: .
			S: 250 done
			C: QUIT
			S: 221 bye`)
		m := message("hi\r\n", "a@them.example")
		m.Priority = -3
		if _, err := conn.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
		if _, err := conn.Send(t.Context(), message("ho\r\n", "a@them.example")); err != nil {
			t.Error(err)
		}
		conn.Quit(t.Context())
	}
}
