// Package tally counts what a shard holds.
package tally

// Counts are kept up to date by folding.
type Counts struct {
	// Messages are the open ones; Held of them are held; InFlight have an
	// attempt under way.
	Messages, Held, InFlight uint64
	// Content is the bytes of content of open messages.
	Content uint64
	// Uploads are the unfinished ones.
	Uploads uint64
	// Free are the open messages that a suspension of the shard does not
	// concern, FreeHeld those of them that are held. They count from the last
	// Suspended on, and are 0 in a shard that never was.
	Free, FreeHeld uint64
}

// Add adds what others count.
func (c *Counts) Add(o Counts) {
	c.Messages += o.Messages
	c.Held += o.Held
	c.InFlight += o.InFlight
	c.Content += o.Content
	c.Free += o.Free
	c.FreeHeld += o.FreeHeld
}

// Subtract takes away what others count.
func (c *Counts) Subtract(o Counts) {
	c.Messages -= o.Messages
	c.Held -= o.Held
	c.InFlight -= o.InFlight
	c.Content -= o.Content
	c.Free -= o.Free
	c.FreeHeld -= o.FreeHeld
}
