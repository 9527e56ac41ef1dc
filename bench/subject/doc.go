// Package subject is what is measured: a relay that can be started, asked what
// it uses of the machine, killed, and started again with what it has on disk.
// Every subcommand that measures speaks to subjects, so that the same work is
// done to a cluster, to the floor and to a peer.
package subject
