// Package maildir delivers into Maildirs on this machine, with the rights of the
// user who owns them.
//
// A message is written into tmp and synced, linked into new under a name that no
// other delivery on any machine uses, and new is synced: a delivery that was
// recorded survives the loss of power, and no reader ever sees half a message.
// Lines end with LF, as programs on this machine expect; Return-Path and
// Delivered-To stand on top (RFC 5321, section 4.4).
//
// The point of no return is the link. All recipients' files are written and
// synced before the last look; then each is linked by itself. A link that fails
// is a failure of its recipient and no doubt: the file is not there. Only where
// new cannot be synced after the link is the outcome unknown.
//
// Quota is that of Maildir++ (maildirsize): a mailbox that is full is answered
// 452 4.2.2, and the retry rules decide for how long.
package maildir
