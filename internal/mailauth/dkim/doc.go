// Package dkim signs mail (RFC 6376, with the algorithms of RFC 8301 and RFC
// 8463). It is pure: it is given the header, the hash of the body and the time,
// and returns the field to put before the header.
//
// A message is signed by any number of keys at the cost of one pass over its
// body (package canon) and one signature each. RSA keys have 2048 bits at least.
package dkim
