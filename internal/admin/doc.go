// Package admin is how an operator's commands reach a running node: a Connect
// API under /v1/ whose messages are plain JSON, over a Unix socket or over TCP
// with the cluster CA's certificates on both sides. What the command line
// prints with --json is what goes over this wire.
package admin
