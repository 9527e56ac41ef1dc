// Package transport says what a delivery is, whatever carries it: SMTP, LMTP, a
// Maildir, a pipe. A Conn carries messages one after the other; what it was told
// of each is a Result, with a word for each recipient where the transport has
// one.
//
// Every transport has a point of no return, after which the message may have
// been delivered whatever is heard of it: the final dot, the rename of a file,
// the end of a command's input. Three rules hold for all of them, and with them
// the promise that the record names everybody who may get a second copy:
//
//   - Message.BeforeDot is asked right before that point, once for a message;
//     what it refuses is not sent.
//   - Result.Dot is set when that point may have been passed. Without it nobody
//     has the message.
//   - A recipient whose outcome is not known after that point has a final reply
//     with Code 0: that is doubt. A transport that knows better says so.
package transport
