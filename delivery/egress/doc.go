// Package egress says how mail leaves this node for a server: from which
// address and under which name, over which address family, through which proxy,
// with whose login, and what TLS it shows and accepts.
//
// Settings are those of a transport. Where they are expressions, or a pool of
// addresses, a Way is what they come to for one recipient of one message. Ways
// with the same Key share connections and limits: so a limit holds for each
// address of a pool.
package egress
