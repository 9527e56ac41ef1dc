// Package queue is the replicated mail queue: what smtp submits to, what
// delivery claims from and resolves into, and what an operator asks and acts
// on. It knows the shards and finds their leaders; smtp and delivery do not.
package queue
