// Package mail holds the words every other room uses: addresses, envelopes,
// replies and message ids. It is a leaf: it knows no storage, no network and
// no clock.
package mail
