// Package window is what a process knows to be due: jobs, in the lanes of
// their sites, and who works on them. It is memory alone, bounded, and rebuilt
// from the due index when an office begins; what does not fit stays in the
// index, and the window says when there is room for it.
//
// A message is known to the window from Admit on until it is routed and its
// last job is Done: so it is routed once. A site may fill only a share of the
// window, so that one that refuses or is silent keeps nobody else waiting.
package window
