// Package dsn writes delivery status notifications: multipart/report messages
// (RFC 6522) with a message/delivery-status part (RFC 3464), under the wishes
// that the sender gave with the message (RFC 3461). Where a mail address or the
// message itself needs SMTPUTF8, the parts are those of RFC 6533.
//
// A report fits one event: it returns headers only above a size, and of very
// many recipients it gives fewer words. Texts of other servers and of the
// sender go through clean before they are written: they can break no line and
// forge no field.
package dsn
