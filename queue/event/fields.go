package event

import (
	"quorumta/internal/mail"
	"quorumta/queue/event/codec"
)

// The descriptions below are the format. A field's number and type may never
// change, a number is never reused, and a new field is a new version of the
// format, since older nodes refuse it.

func (e *BodyPart) fields(f *codec.Fields) {
	codec.Message(f, 1, &e.Submitter, DescribeSubmitter)
	f.Uint32(2, &e.N)
	f.Bytes(3, &e.Content)
}

func (e *Accepted) fields(f *codec.Fields) {
	messageID(f, 1, &e.ID)
	codec.Message(f, 2, &e.Submitter, DescribeSubmitter)
	codec.Message(f, 3, &e.Client, describeClient)
	codec.Message(f, 4, &e.Envelope, describeEnvelope)
	codec.String(f, 5, &e.HeaderID)
	codec.String(f, 6, &e.Subject)
	f.Int64(7, &e.Size)
	f.Array(8, e.Digest[:])
	f.Uint32(9, &e.Parts)
	codec.Message(f, 10, &e.Trace, describeTrace)
	codec.Strings(f, 11, &e.Rules)
	messageID(f, 12, &e.Cause)
	f.Time(13, &e.Due)
	f.Bytes(14, &e.Content)
}

func (e *Abandoned) fields(f *codec.Fields) {
	codec.Message(f, 1, &e.Submitter, DescribeSubmitter)
}

func (e *Claimed) fields(f *codec.Fields) {
	f.Uint32(1, &e.Number)
	f.Uint32s(2, &e.Recipients)
	codec.Message(f, 3, &e.By, DescribeProcess)
}

func (e *Returned) fields(f *codec.Fields) {
	f.Uint32(1, &e.Number)
	f.Uint32s(2, &e.Recipients)
	f.Time(3, &e.Due)
	codec.String(f, 4, &e.Why)
}

func (e *Doubted) fields(f *codec.Fields) {
	f.Uint32(1, &e.Number)
	f.Uint32s(2, &e.Recipients)
	codec.Message(f, 3, &e.By, DescribeProcess)
	f.Uint64(4, &e.Term)
	f.Time(5, &e.Due)
	f.Bool(6, &e.Hold)
}

func (e *Delivered) fields(f *codec.Fields) {
	f.Uint32s(1, &e.Recipients)
	codec.Message(f, 2, &e.Attempt, describeAttempt)
}

func (e *Deferred) fields(f *codec.Fields) {
	f.Uint32s(1, &e.Recipients)
	codec.Message(f, 2, &e.Attempt, describeAttempt)
	codec.Enum(f, 3, &e.Error, NewestError)
	f.Time(4, &e.Due)
}

func (e *Failed) fields(f *codec.Fields) {
	f.Uint32s(1, &e.Recipients)
	codec.Message(f, 2, &e.Attempt, describeAttempt)
	codec.Enum(f, 3, &e.Error, NewestError)
}

func (e *Expired) fields(f *codec.Fields) {
	f.Uint32s(1, &e.Recipients)
	codec.Message(f, 2, &e.Attempt, describeAttempt)
	codec.Enum(f, 3, &e.Error, NewestError)
}

func (e *Warned) fields(f *codec.Fields) {
	f.Uint32s(1, &e.Recipients)
	f.Uint32(2, &e.Step)
}

func (e *Expanded) fields(f *codec.Fields) {
	f.Uint32(1, &e.Recipient)
	codec.List(f, 2, &e.Into, describeChild)
	codec.String(f, 3, &e.Router)
	f.Uint32(4, &e.Count)
	f.Bool(5, &e.More)
	f.Bool(6, &e.Nobody)
	codec.Message(f, 7, &e.Handling, DescribeHandling)
}

func (e *Held) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	codec.String(f, 2, &e.Why)
}

func (e *Released) fields(f *codec.Fields) { codec.String(f, 1, &e.By) }

func (e *Retried) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	f.Time(2, &e.Due)
}

func (e *Removed) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	codec.String(f, 2, &e.Why)
}

func (e *Bounced) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	codec.String(f, 2, &e.Why)
}

func (e *Rerouted) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	codec.Strings(f, 2, &e.Hosts)
	codec.String(f, 3, &e.Why)
}

func (e *Pruned) fields(f *codec.Fields) { f.Uint32(1, &e.Day) }

func (e *Swept) fields(f *codec.Fields) { messageIDs(f, 1, &e.IDs) }

func (e *Renewed) fields(f *codec.Fields) {
	codec.Message(f, 1, &e.Submitter, DescribeSubmitter)
}

func (e *Suspended) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	f.Time(2, &e.Backup)
}

func (e *Resumed) fields(f *codec.Fields) { codec.String(f, 1, &e.By) }

func (e *Noted) fields(f *codec.Fields) {
	codec.String(f, 1, &e.Key)
	codec.String(f, 2, &e.Value)
	f.Time(3, &e.Until)
	codec.String(f, 4, &e.By)
	codec.String(f, 5, &e.Why)
}

func (e *Unnoted) fields(f *codec.Fields) {
	codec.String(f, 1, &e.Key)
	f.Time(2, &e.Until)
	codec.String(f, 3, &e.By)
	codec.String(f, 4, &e.Why)
}

func (e *Edited) fields(f *codec.Fields) {
	codec.String(f, 1, &e.By)
	codec.String(f, 2, &e.Why)
	f.Uint32s(3, &e.Drop)
	codec.List(f, 4, &e.Add, describeAddition)
	f.Uint32(5, &e.Count)
}

// DescribeProcess describes a process for the codec.
func DescribeProcess(f *codec.Fields, p *Process) {
	codec.String(f, 1, &p.Node)
	f.Fixed64(2, &p.Boot)
}

// DescribeSubmitter describes a submitter for the codec.
func DescribeSubmitter(f *codec.Fields, s *Submitter) {
	codec.Message(f, 1, &s.Process, DescribeProcess)
	f.Uint64(2, &s.Seq)
}

func describeClient(f *codec.Fields, c *Client) {
	codec.String(f, 1, &c.IP)
	codec.String(f, 2, &c.Name)
	codec.String(f, 3, &c.Helo)
	codec.String(f, 4, &c.Login)
	codec.String(f, 5, &c.Listener)
	codec.String(f, 6, &c.Protocol)
	codec.String(f, 7, &c.TLS)
}

func describeTrace(f *codec.Fields, t *Trace) {
	f.Array(1, t.TraceID[:])
	f.Array(2, t.SpanID[:])
	f.Byte(3, &t.Flags)
}

func describeAttempt(f *codec.Fields, a *Attempt) {
	f.Uint32(1, &a.Number)
	codec.String(f, 2, &a.Node)
	codec.String(f, 3, &a.Router)
	codec.String(f, 4, &a.Transport)
	codec.String(f, 5, &a.Host)
	codec.String(f, 6, &a.IP)
	codec.String(f, 7, &a.TLS)
	codec.Message(f, 8, &a.Reply, DescribeReply)
	f.Duration(9, &a.Took)
}

// DescribeReply describes a reply for the codec.
func DescribeReply(f *codec.Fields, r *mail.Reply) {
	f.Int(1, &r.Code)
	codec.String(f, 2, &r.Enhanced)
	codec.String(f, 3, &r.Text)
}

func describeEnvelope(f *codec.Fields, e *mail.Envelope) {
	codec.Message(f, 1, &e.From, describeAddress)
	codec.List(f, 2, &e.Recipients, DescribeRecipient)
	codec.Enum(f, 3, &e.Return, mail.ReturnFull)
	codec.String(f, 4, &e.EnvID)
	f.Bool(5, &e.EightBit)
	f.Bool(6, &e.UTF8)
	f.Bool(7, &e.RequireTLS)
	f.Bool(8, &e.TLSOptional)
	describePriority(f, 9, &e.Priority)
}

// describePriority describes a priority for the codec, as a sint32.
func describePriority(f *codec.Fields, n codec.Number, p *mail.Priority) {
	x := byte(2 * *p)
	if *p < 0 {
		x = byte(-2**p - 1)
	}
	codec.Enum(f, n, &x, byte(2*mail.HighestPriority))
	*p = mail.Priority(x / 2)
	if x%2 == 1 {
		*p = -*p - 1
	}
}

// DescribeRecipient describes a recipient for the codec.
func DescribeRecipient(f *codec.Fields, r *mail.Recipient) {
	codec.Message(f, 1, &r.Address, describeAddress)
	codec.Enum(f, 2, &r.Notify, mail.NotifyNever|mail.NotifySuccess|mail.NotifyFailure|mail.NotifyDelay)
	codec.String(f, 3, &r.Original)
}

func describeChild(f *codec.Fields, c *Child) {
	DescribeRecipient(f, &c.Recipient)
	codec.String(f, 4, &c.Item)
	f.Bool(5, &c.Apart)
}

func describeAddition(f *codec.Fields, a *Addition) {
	DescribeRecipient(f, &a.Recipient)
	f.Uint32(4, &a.Instead)
}

// DescribeHandling describes what routers have said for the codec.
func DescribeHandling(f *codec.Fields, h *mail.Handling) {
	set := h.Errors != nil
	f.Bool(1, &set)
	if f.Reading() && set {
		h.Errors = new(mail.Address)
	}
	if set {
		codec.Message(f, 2, h.Errors, describeAddress)
	}
	codec.Strings(f, 3, &h.Add)
	codec.Strings(f, 4, &h.Remove)
	codec.String(f, 5, &h.Data)
}

func describeAddress(f *codec.Fields, a *mail.Address) {
	codec.String(f, 1, &a.Local)
	codec.String(f, 2, &a.Domain)
}
