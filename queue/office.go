package queue

import (
	"context"

	"quorumta/queue/attempt"
	"quorumta/queue/office"
	"quorumta/queue/state"
)

// Office is this node's leadership of one shard in one term: the right to
// claim and deliver its mail.
type Office = office.Office

// Claim is the right to one attempt.
type Claim = office.Claim

// Claiming is a claim under way.
type Claiming = office.Claiming

func (q *Queue) newOffices() *office.Options {
	return &office.Options{
		Self:          q.self,
		Propose:       q.commit,
		Call:          q.way.Call,
		Others:        q.others,
		Term:          q.node.Term,
		View:          q.glance,
		Spawn:         q.desk.spawn,
		Unsettled:     q.unsettled.has,
		Level:         q.o.Level,
		Attempts:      q.attempts,
		Buffers:       &q.buffers,
		Trusted:       q.ClockTrusted,
		Now:           q.now,
		SubmitWait:    q.o.SubmitWait,
		History:       q.o.History,
		UploadTimeout: q.o.UploadTimeout,
		HoldDoubts:    q.o.HoldDoubts,
		Counters:      q.meters.offices,
		Log:           q.o.Log,
	}
}

// commit is how an office brings an entry into its log.
func (q *Queue) commit(ctx context.Context, shard uint16, term uint64, entry []byte) ([]state.Result, error) {
	results, err := q.way.Propose(ctx, shard, term, entry)
	if err != nil {
		return nil, failed(err)
	}
	verdicts := make([]state.Result, len(results))
	for i, r := range results {
		verdicts[i] = state.Result(r)
	}
	return verdicts, nil
}

// serveContent gives another node a piece of content.
func (q *Queue) serveContent(_ context.Context, _ string, request []byte) ([]byte, error) {
	return office.ServeContent(q.view, request)
}

// serveAttempts answers a new leader's question.
func (q *Queue) serveAttempts(_ context.Context, ask attempt.Question) (attempt.Answer, error) {
	return q.attempts.Reply(q.self.Boot, ask), nil
}
