// Package header takes the header of a message apart and puts it together
// again. Every octet of a field that nobody edits stays as it was: signatures
// depend on it. It reads no values; who needs one unfolds it.
package header
