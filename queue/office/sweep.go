package office

import (
	"context"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

const (
	// mostSwept bounds the uploads that one event sweeps.
	mostSwept = 500
	day       = 24 * time.Hour
)

// sweep forgets what is too old, until the office ends: unfinished uploads,
// and the history of whole days. Time decides both, so a node whose clock
// cannot be trusted does neither.
func (o *Office) sweep(ctx context.Context) {
	every := min(o.opt.UploadTimeout/4, time.Minute)
	for {
		// The time comes first: a clock that has jumped until then is not trusted.
		if now := o.opt.Now(); o.opt.Trusted() && o.inOffice() {
			for _, ev := range o.Outdated(now) {
				o.lane.Add(event.Group{Events: []event.Event{ev}}, func(lane.Verdict) {})
			}
		}
		if !clock.Pause(ctx, every) {
			return
		}
	}
}

// Outdated are the events that forget what is too old at the time now.
func (o *Office) Outdated(now time.Time) []event.Event {
	var events []event.Event
	o.view(func(r state.Reader) {
		var ids []mail.MessageID
		state.Uploads(r, func(u state.Upload) bool {
			if now.Sub(u.Renewed) > o.opt.UploadTimeout {
				ids = append(ids, u.ID)
			}
			return len(ids) < mostSwept
		})
		// Each alone: one that has ended meanwhile would save the others.
		for _, id := range ids {
			events = append(events, &event.Swept{IDs: []mail.MessageID{id}})
		}
		for _, d := range state.Days(r) {
			end := time.Unix(0, 0).Add(time.Duration(d+1) * day)
			if now.Sub(end) > o.opt.History {
				events = append(events, &event.Pruned{Day: d})
			}
		}
	})
	return events
}
