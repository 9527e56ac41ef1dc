// Package load is an open-loop SMTP load generator. It sends numbered messages
// over many sessions to all nodes of a relay, turns to the next node on a
// refusal or a broken connection as a good client does, and records what became
// of every message.
//
// A message counts as sent once its final dot has been handed to the system:
// from then on it is never sent again under the same id, so that whatever the
// sink sees twice was doubled by the relay. Until then it may be offered to
// every target in turn.
package load
