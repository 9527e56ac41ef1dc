// Package webhook delivers by HTTP: each recipient's message is the body of a POST
// of its own, message/rfc822 as it is, with what is known of it in fields.
//
// The point of no return is the last block of the body: the last look comes before
// it, and a server that never got it has not got the message. An answer decides:
// 2yz is delivered, 4yz fails, all else is tried again, and so are 408, 425 and 429,
// and 401 and 407, which speak of our configuration and not of the message. Without
// an answer after the last block it is doubt. Each request has an Idempotency-Key
// that is the same in every attempt, so that a server can recognise a second copy.
package webhook
