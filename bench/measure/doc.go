// Package measure tells what processes use of the machine: processor time,
// bytes written to disk, memory, syncs, and bytes sent to each other. It looks
// from outside, through the kernel's accounts.
package measure
