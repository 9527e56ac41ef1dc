// Package outcome decides what an attempt comes to: it reads a transaction's
// replies as a verdict for each recipient, asks the retry rules when those that
// wait are due again, and turns all of it into the facts that go on record,
// with the report that a sender is owed. It has no clock and sends nothing.
package outcome
