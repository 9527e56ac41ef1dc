// Package verdict compares what was sent and acknowledged with what arrived:
// whether a relay lost mail, delivered what it had refused, or made copies
// that it did not own up to.
package verdict
