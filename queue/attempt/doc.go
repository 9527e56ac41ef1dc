// Package attempt is a process's own knowledge of the attempts that it has
// claimed: whether a final dot may have been sent. The record cannot tell, for
// it learns only outcomes; so a new leader of the shard asks the process
// before it gives the recipients to somebody else (PROTOCOL 33).
package attempt
