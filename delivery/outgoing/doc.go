// Package outgoing makes of a stored message what goes out: it takes fields out
// of the header and puts others in, and then signs the whole. What nobody has
// asked to be changed leaves octet by octet as it came, without being looked at.
//
// The order is fixed: fields are removed, then added, then the result is signed
// by DKIM, and sealed by ARC.
// Signatures go before the header, and need the body's hash first. So a message
// that is signed is read twice; one that is small is held in between.
package outgoing
