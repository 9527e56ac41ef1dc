// Package state folds events into the state of a shard, answers what is asked
// of that state, and owns the shard's key space. It is pure: the time comes in
// as an argument, and nothing is read but the view that is handed in.
//
// Words: an upload is content on its way in, bound to nothing; a message is
// open from its Accepted until no recipient has anything left to do; then it is
// closed, its content is gone, and its history stays under the day it ended.
// A shard is suspended when it was restored from a backup: the messages that
// came from there wait; those accepted since, or let go by an operator, are
// free. An era begins with each suspension, and who is free is so in one era.
//
// What holds after every entry:
//
//   - a message has exactly one row in the due index if it is not held and a
//     recipient is pending, under the earliest due time of those, in the index
//     of the era that it is free in, and none otherwise;
//   - an attempt has a row in the claims index exactly while a recipient of its
//     number is in flight;
//   - the counters are what a scan would count;
//   - content belongs to an open message or to an upload;
//   - a group that is refused has changed nothing.
package state
