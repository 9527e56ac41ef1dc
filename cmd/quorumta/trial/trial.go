// Package trial are the commands that tell what would happen, without doing it:
// Exim's -bt, -brt and their kin.
package trial

// Commands are the commands that try rules out.
type Commands struct {
	Retry retryCmd `cmd:"" help:"When mail for an address would be tried again, by which rule."`
}
