// Package smtp receives mail: it listens, knows its clients, asks the policy,
// streams content into the queue while it arrives, and says 250 when the queue
// says that a majority has it on stable storage.
//
// Package wire speaks the protocol; a session here answers MAIL, RCPT and the
// content. Replies are chosen here alone: a fault of ours is always 4yz, and
// our inside never shows in public text.
package smtp
