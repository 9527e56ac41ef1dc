// Package copies makes a backup with millions of messages out of one with a few
// thousand: each of those again and again, under ids of its own. What is
// restored from it is what so many messages would have left that came one by
// one, but takes minutes, not hours.
//
// Nothing of a message is made up: its rows are those that the relay wrote, and
// only the id in them is another. Of the relay's formats no more is used than
// this: the frame of a backup (cluster/store/backup and cluster/store/stream);
// that a row about a message has its id in its key, as 20 characters; and of
// the key space (queue/state) which rows are the open messages, their content,
// and the counters.
package copies
