// Package mtasts finds out what a mail domain demands by MTA-STS (RFC 8461): a
// TXT record says that there is a policy and which one, HTTPS brings it, and
// it is remembered for as long as it says.
//
// What the DNS or the policy host say can take nothing away from a remembered
// policy before its time is over: who can forge or silence them could
// otherwise undo it (section 10.2). Only a new policy, fetched over HTTPS,
// replaces it.
//
// The room judges no connection: a Policy tells its mode, and which names of
// mail hosts it allows.
package mtasts
