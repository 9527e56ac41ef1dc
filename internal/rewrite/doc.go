// Package rewrite rewrites addresses by rules, in the envelope and in the fields
// of the header, as Exim's section "begin rewrite" does.
//
// A rule says where it applies and for which addresses, and computes the new
// address from the old one. Rules are gone through in order, each with what
// those before it have made. What is no address is left alone where it stands;
// what a rule makes must be one: else the message waits (451 4.3.5) until the
// rule is mended, and nothing is lost. Where no rule fits not an octet changes.
package rewrite
