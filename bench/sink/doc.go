// Package sink is the far end of a test: an SMTP server that takes mail as fast
// as it comes, remembers which message reached which recipient how often, and
// misbehaves on request.
//
// A message is known by its X-Bench-ID field. What has none (a delivery report,
// say) is counted as foreign.
package sink
