// Package content reads the content of a message that was streamed in parts,
// and verifies it against the digest that the message was accepted with.
package content
