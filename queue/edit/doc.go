// Package edit turns an operator's wish about the recipients of a message into
// the fact to put on record. It has no clock and asks nobody.
package edit
