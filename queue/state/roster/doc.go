// Package roster is the recipients of an open message as rows of a shard's
// state, of which there may be very many. It is pure.
package roster
