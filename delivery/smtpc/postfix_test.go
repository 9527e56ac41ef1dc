package smtpc

import (
	"context"
	"slices"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/smtp/smtptest"
)

// TestPostfix and TestExim send to real servers over one connection each. Both
// offer CHUNKING, so what is large goes by BDAT.
func TestPostfix(t *testing.T) {
	sendToReal(t, smtptest.Postfix(t, ""), 554)
}

func TestExim(t *testing.T) {
	sendToReal(t, smtptest.Exim(t, ""), 550)
}

func sendToReal(t *testing.T, server *smtptest.Server, refusal int) {
	ctx := context.Background()
	c := dial(t, server.Address)
	e := c.Extensions()
	if !e.Pipelining || !e.EightBit || !e.Chunking || !e.DSN || !e.Sized {
		t.Errorf("%+v", e)
	}
	bodies := []string{
		".\r\n..\r\n.x\r\nend\r\n",
		strings.Repeat("0123456789\r\n.\r\n", 3000),
		strings.Repeat("0123456789\r\n..\r\n", 100_000),
		"ü\r\n", "",
		strings.Repeat(strings.Repeat("x", 990)+"\r\n", 265),
	}
	for i, body := range bodies {
		m := message("Subject: test\r\n\r\n"+body, "a@them.example", "no@them.example")
		m.EightBit = true
		m.EnvID, m.Return = "envelope 1", mail.ReturnHeaders
		m.Recipients[0].Notify = mail.NotifyNever
		m.Recipients[1].Original = "rfc822;no+@them.example"
		res, err := c.Send(ctx, m)
		if err != nil || !res.Final.Positive() || res.Rcpts[1].Code != refusal {
			t.Fatalf("%+v, %v", res, err)
		}
		if byBDAT := res.Data.Code == 0; byBDAT != (len(body) > defaultChunked) {
			t.Errorf("message %d went by BDAT: %v", i, byBDAT)
		}
	}
	res, err := c.Send(ctx, message("x\r\n", "no@them.example"))
	if err != nil || res.Rcpts[0].Code != refusal || res.Dot {
		t.Fatalf("%+v, %v", res, err)
	}
	big := message("x\r\n", "a@them.example")
	big.Size = e.Size + 1
	if res, err = c.Send(ctx, big); err != nil || res.Mail.Code != 552 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.Quit(ctx)
	var got []string
	for _, content := range server.Arrivals(t, len(bodies)) {
		got = append(got, smtptest.Body(content))
	}
	for i, body := range bodies {
		if !slices.Contains(got, strings.ReplaceAll(body, "\r\n", "\n")) {
			t.Errorf("message %d did not arrive as it was sent", i)
		}
	}
}
