// Package spool keeps the content of one upload on local disk until its
// message is acknowledged, so that it can be sent to another shard. Nothing in
// it is synced: it promises nothing and is gone with the process.
package spool
