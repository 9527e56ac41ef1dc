package outcome

import (
	"context"
	"errors"
	"io"
	"testing"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

func TestJudge(t *testing.T) {
	ok, later, never := mail.Reply{Code: 250}, mail.Reply{Code: 450}, mail.Reply{Code: 550}
	goOn, bye := mail.Reply{Code: 354}, mail.Reply{Code: 421}
	lost := &transport.Error{Phase: transport.PhaseDot, Err: io.ErrUnexpectedEOF}
	hostLost := Cause{Kind: event.ErrorLost, Reply: mail.Reply{Text: "lost"}}
	hostBye := Cause{Kind: event.ErrorLost, Reply: bye}
	stale := &transport.Error{Phase: transport.PhaseContent, Err: queue.ErrStale, Ours: true}
	damaged := &transport.Error{Phase: transport.PhaseContent, Err: queue.ErrDamaged, Ours: true}
	two := func(a, b mail.Reply) []mail.Reply { return []mail.Reply{a, b} }
	for name, c := range map[string]struct {
		res   transport.Result
		err   error
		cause Cause
		want  [2]What
		kind  [2]event.ErrorKind
	}{
		"taken":              {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Final: ok, Dot: true}, want: [2]What{Delivered, Delivered}},
		"one refused":        {res: transport.Result{Mail: ok, Rcpts: two(ok, never), Data: goOn, Final: ok, Dot: true}, want: [2]What{Delivered, Failed}, kind: [2]event.ErrorKind{0, event.ErrorRecipient}},
		"one later":          {res: transport.Result{Mail: ok, Rcpts: two(later, ok), Data: goOn, Final: ok, Dot: true}, want: [2]What{Deferred, Delivered}, kind: [2]event.ErrorKind{event.ErrorRecipient, 0}},
		"too many":           {res: transport.Result{Mail: ok, Rcpts: two(ok, mail.Reply{Code: 452}), Data: goOn, Final: ok, Dot: true}, want: [2]What{Delivered, Returned}},
		"too many, 552":      {res: transport.Result{Mail: ok, Rcpts: two(ok, mail.Reply{Code: 552}), Data: goOn, Final: ok, Dot: true}, want: [2]What{Delivered, Returned}},
		"mailbox full":       {res: transport.Result{Mail: ok, Rcpts: two(mail.Reply{Code: 552, Enhanced: "5.2.2"}, ok), Data: goOn, Final: ok, Dot: true}, want: [2]What{Failed, Delivered}, kind: [2]event.ErrorKind{event.ErrorRecipient, 0}},
		"452 to all":         {res: transport.Result{Mail: ok, Rcpts: two(mail.Reply{Code: 452}, mail.Reply{Code: 452})}, want: [2]What{Deferred, Deferred}, kind: [2]event.ErrorKind{event.ErrorRecipient, event.ErrorRecipient}},
		"sender refused":     {res: transport.Result{Mail: never, Rcpts: two(mail.Reply{Code: 503}, mail.Reply{Code: 503})}, want: [2]What{Failed, Failed}, kind: [2]event.ErrorKind{event.ErrorSender, event.ErrorSender}},
		"content refused":    {res: transport.Result{Mail: ok, Rcpts: two(ok, later), Data: goOn, Final: never, Dot: true}, want: [2]What{Failed, Deferred}, kind: [2]event.ErrorKind{event.ErrorContent, event.ErrorRecipient}},
		"content later":      {res: transport.Result{Mail: ok, Rcpts: two(ok, never), Data: goOn, Final: later, Dot: true}, want: [2]What{Deferred, Failed}, kind: [2]event.ErrorKind{event.ErrorContent, event.ErrorRecipient}},
		"421 to the dot":     {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Final: bye, Dot: true}, want: [2]What{Deferred, Deferred}, kind: [2]event.ErrorKind{event.ErrorContent, event.ErrorContent}},
		"DATA refused":       {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: never}, want: [2]What{Failed, Failed}, kind: [2]event.ErrorKind{event.ErrorContent, event.ErrorContent}},
		"lost after the dot": {res: transport.Result{Mail: ok, Rcpts: two(ok, never), Data: goOn, Dot: true}, err: lost, cause: hostLost, want: [2]What{Doubted, Failed}, kind: [2]event.ErrorKind{event.ErrorLost, event.ErrorRecipient}},
		"cut after the dot":  {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Dot: true}, err: &transport.Error{Err: context.Canceled, Ours: true}, want: [2]What{Doubted, Doubted}},
		"lost at RCPT":       {res: transport.Result{Mail: ok, Rcpts: two(never, mail.Reply{})}, err: lost, cause: hostLost, want: [2]What{Failed, Deferred}, kind: [2]event.ErrorKind{event.ErrorRecipient, event.ErrorLost}},
		"421 at RCPT":        {res: transport.Result{Mail: ok, Rcpts: two(ok, bye)}, err: &transport.Error{Reply: bye}, cause: hostBye, want: [2]What{Deferred, Deferred}, kind: [2]event.ErrorKind{event.ErrorLost, event.ErrorLost}},
		"421 at MAIL":        {res: transport.Result{Mail: bye, Rcpts: two(mail.Reply{}, mail.Reply{})}, err: &transport.Error{Reply: bye}, cause: hostBye, want: [2]What{Deferred, Deferred}, kind: [2]event.ErrorKind{event.ErrorLost, event.ErrorLost}},
		"each its own":       {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Finals: two(ok, mail.Reply{Code: 552}), Dot: true}, want: [2]What{Delivered, Failed}, kind: [2]event.ErrorKind{0, event.ErrorRecipient}},
		"full for now":       {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Finals: two(later, ok), Dot: true}, want: [2]What{Deferred, Delivered}, kind: [2]event.ErrorKind{event.ErrorRecipient, 0}},
		"lost between":       {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn, Finals: two(ok, mail.Reply{}), Dot: true}, err: lost, cause: hostLost, want: [2]What{Delivered, Doubted}, kind: [2]event.ErrorKind{0, event.ErrorLost}},
		"one, then lost":     {res: transport.Result{Mail: ok, Rcpts: two(never, ok), Data: goOn, Finals: two(mail.Reply{}, mail.Reply{}), Dot: true}, err: lost, cause: hostLost, want: [2]What{Failed, Doubted}, kind: [2]event.ErrorKind{event.ErrorRecipient, event.ErrorLost}},
		"too many, late":     {res: transport.Result{Mail: ok, Rcpts: two(ok, mail.Reply{Code: 452}), Data: goOn, Finals: two(ok, mail.Reply{}), Dot: true}, want: [2]What{Delivered, Returned}},
		"stale":              {res: transport.Result{Mail: ok, Rcpts: two(ok, never), Data: goOn}, err: stale, want: [2]What{Returned, Failed}, kind: [2]event.ErrorKind{0, event.ErrorRecipient}},
		"damaged":            {res: transport.Result{Mail: ok, Rcpts: two(ok, ok), Data: goOn}, err: damaged, cause: Cause{Kind: event.ErrorInternal}, want: [2]What{Returned, Returned}, kind: [2]event.ErrorKind{event.ErrorInternal, event.ErrorInternal}},
		"strange reply":      {res: transport.Result{Mail: ok, Rcpts: two(mail.Reply{Code: 350}, ok), Data: goOn, Final: ok, Dot: true}, want: [2]What{Deferred, Delivered}, kind: [2]event.ErrorKind{event.ErrorRecipient, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Judge([]uint32{3, 7}, c.res, c.err, c.cause)
			for i, v := range got {
				if v.What != c.want[i] || v.Kind != c.kind[i] || v.Recipient != []uint32{3, 7}[i] {
					t.Errorf("%d: %+v", i, v)
				}
			}
		})
	}
	if !errors.Is(stale, queue.ErrStale) {
		t.Error("an Error hides its cause")
	}
}
