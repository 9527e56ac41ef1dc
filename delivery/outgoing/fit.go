package outgoing

import (
	"errors"
	"fmt"
	"io"

	"quorumta/delivery/convert"
	"quorumta/delivery/egress"
	"quorumta/internal/mail"
)

// Fit converts what a server does not take, or says why it cannot have it, a
// *Refusal: before anything is signed, so that our signatures are of what goes
// out. It reads the content once more where that may be needed. sevenBit says
// that the server takes no octets above 127.
func (l *Letter) Fit(sevenBit bool, how egress.Convert) error {
	eight := sevenBit && how.EightBit != egress.EightBitLeave
	long := how.LongLines == egress.LinesRepair || how.LongLines == egress.LinesRefuse
	if !eight && !long {
		return nil
	}
	survey, err := l.survey()
	switch {
	case errors.Is(err, convert.ErrTooComplex):
		return unfit(how, err)
	case err != nil:
		return err
	case long && how.LongLines == egress.LinesRefuse && survey.LongLines:
		return unsendable("5.6.0", fmt.Sprintf("the message has lines of more than %d octets", convert.MaxLine))
	case eight && how.EightBit == egress.EightBitRefuse && survey.EightBit:
		return unsendable("5.6.3", "the message has 8-bit content, which the server does not take")
	}
	plan, err := survey.Plan(convert.Want{SevenBit: eight, Lines: how.LongLines == egress.LinesRepair})
	if err != nil {
		return unfit(how, err)
	}
	if plan != nil {
		l.stored = l.Open
		l.Content, l.Open, l.Size = plan.Reader(l.Content), reopen(plan, l.Open), plan.Size()
	}
	return nil
}

// survey looks through the stored content.
func (l *Letter) survey() (*convert.Survey, error) {
	content, err := l.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	return convert.Look(content)
}

// unfit is what follows where a message cannot be converted (RFC 6152, section
// 3): it goes as it is where that is wanted, else not at all.
func unfit(how egress.Convert, err error) error {
	if how.EightBit == egress.EightBitTry {
		return nil
	}
	return unsendable("5.6.3", "the message would have to be converted for the server: "+err.Error())
}

func unsendable(enhanced, text string) error {
	return &Refusal{Reply: mail.Reply{Code: 554, Enhanced: enhanced, Text: text}, Err: errors.New(text)}
}

// reopen opens the converted content from its beginning.
func reopen(plan *convert.Plan, open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		content, err := open()
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{plan.Reader(content), content}, nil
	}
}
