// Package policy evaluates CEL conditions over what is known of a client, a
// sender, a recipient and a message, and decides by ordered rules.
//
// Conditions are typed and bounded. A misspelt name, a wrong type or a result
// that is not a bool is found when the condition is compiled, with its line
// and column. What cannot be shown then to be cheap is metered when it runs.
// A run-time error is an error, never "false". A Text is an expression over the
// same facts whose result is a text: a path, a host name, a header.
//
// Names of nets and lists are constants of the environment: "client.ip in
// nets.trusted" is a binary search, "rcpt.domain in lists.ours" a map access
// for each label at most. A list's entry matches the whole text, without
// regard to case; "*.example.com" and ".example.com" match every name below
// example.com, and not example.com itself.
package policy
