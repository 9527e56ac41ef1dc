// Package arc verifies and extends the chain of custody that a message carries
// (RFC 8617): each relay that may change it seals what it found on arrival, so
// that the next can believe that although DKIM or SPF fail there.
//
//	ARC-Seal: i=2; a=…; t=…; cv=pass; d=…; s=…; b=…       over all sets up to it
//	ARC-Message-Signature: i=2; a=…; c=…; h=…; bh=…; b=…   over the message
//	ARC-Authentication-Results: i=2; authserv; arc=pass …  what was found
//
// It has no clock and looks nothing up by itself.
package arc
