// Package delivery sends what is due. For each shard that this node leads it
// reads the due index, routes the recipients, and hands them as jobs to the
// lanes of their sites; workers, each with one connection, carry them out.
//
// What is due is replicated state; the window of jobs is this process's memory,
// rebuilt on taking office. It is bounded: a site may fill only a share of it,
// and what does not fit stays a row on disk, which a later sweep of the index
// finds again. So a site that refuses or is silent keeps nobody else waiting,
// however much is queued for it. New mail is found first: the newest rows are
// read apart from the sweep.
//
// The rules that keep the promise (PROTOCOL 14 to 16, 25, 32, 33): a final dot
// is written only when the Claimed of the attempt is committed and the last
// look agrees; a connection has at most two claims that are not settled on
// record; a dot whose answer is unknown is recorded as doubt, so that the
// record names everybody who may get a second copy; a claim that sent no dot
// is returned. A site that is suspended, and a limit that is reached, use up
// no retry step.
package delivery
