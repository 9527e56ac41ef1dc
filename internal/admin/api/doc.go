// Package api is what goes over the wire between an operator's command and a
// node: requests and answers of the Connect API under /v1/, plain JSON, and the
// client. What the command line prints with --json are the answers.
package api
