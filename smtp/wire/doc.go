// Package wire speaks the server's side of SMTP on one connection (RFC 5321
// with PIPELINING, CHUNKING, STARTTLS, DSN, SIZE, SMTPUTF8 and LIMITS) and
// hands what it understood to a session of go-smtp's contract: Session,
// MailOptions, RcptOptions, SMTPError. It decides nothing about mail.
//
// Invariants:
//
//   - A line ends with CR LF and with nothing else; content ends with
//     CR LF . CR LF and with nothing else. Bare CR, bare LF and NUL are refused
//     wherever they stand, so that no other server can read the same octets as
//     another message.
//   - Replies are written when the input has run dry, before the connection
//     waits: one write answers a pipelined group.
//   - Memory of a connection is bounded whatever the client sends, and small
//     while it waits.
//   - Every wait ends: a command within the idle time-out, content within the
//     idle time-out at each read and at a minimum rate over all.
package wire
