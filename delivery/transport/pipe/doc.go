// Package pipe delivers to a command: one process for each recipient, without a
// shell, as a user of its own, in a process group of its own. It reads the message
// from its standard input.
//
// The message is written to a file without a name first, and the command gets
// that: so the content has been read to its end, and nothing of ours is needed any
// more, before anything happens. The point of no return is the start of the
// command, since one may act on its arguments alone. What it comes to is its exit
// status (sysexits.h). A command that was killed, because its time was over or the
// node ends, may have done its work: that is doubt.
package pipe
