// Package trial are the commands that tell what would happen, without doing it:
// Exim's -bt, -brt, -brw and their kin.
package trial

// Commands are the commands that try rules out.
type Commands struct {
	Address addressCmd    `cmd:"" help:"Where mail for an address would go, router by router. Exit status 0: it would be delivered; 1: it would wait; 2: it would fail."`
	Expr    expressionCmd `cmd:"" help:"What a condition or an expression comes to."`
	Retry   retryCmd      `cmd:"" help:"When mail for an address would be tried again, by which rule."`
	Rewrite rewriteCmd    `cmd:"" help:"What the rules for addresses make of one, in the envelope and in each field of the header."`
}
