// Package route finds where a recipient's mail goes: routers are tried in
// order, and the first one whose condition holds decides, be it that the mail
// fails or has to wait.
//
// A router of kind hosts names groups of hosts: those of one group are equally
// preferred and tried in random order, the next group is for when all of them
// failed. A router of kind mx asks the DNS about the recipient's domain (RFC
// 5321, section 5.1). Both end in a Target: addresses in the order to be
// tried, under a Key made of names, by which connections and limits are
// shared.
//
// Nothing is routed to a listener of this relay itself: it would come back.
//
// What is our own fault (a condition that fails, a host of the configuration
// that does not exist) defers; only the answer of the recipient's own zone
// fails an address.
package route
