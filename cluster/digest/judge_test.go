package digest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		chains string // one letter a replica; '-' did not answer
		wrong  []string
		doubt  bool
	}{
		{"all equal", "aaa", nil, false},
		{"one is wrong", "aba", []string{"2"}, false},
		{"two of three answer and differ", "ab-", nil, true},
		{"two of three answer and agree", "aa-", nil, false},
		{"all differ", "abc", nil, true},
		{"three of five agree", "aabac", []string{"3", "5"}, false},
		{"no majority of five", "aabbc", nil, true},
		{"a majority of those that answer is none", "aab--", nil, true},
		{"two voters differ", "ab", nil, true},
	} {
		var d Shard
		for i, chain := range c.chains {
			r := Replica{Node: string(rune('1' + i)), Applied: 7, Chain: string(chain)}
			if chain == '-' {
				r = Replica{Node: r.Node, Error: "down"}
			}
			d.Replicas = append(d.Replicas, r)
		}
		wrong, doubt := d.judge()
		slices.Sort(wrong)
		if !slices.Equal(wrong, c.wrong) || doubt != c.doubt {
			t.Errorf("%s: wrong %v, doubt %v", c.name, wrong, doubt)
		}
	}
}

// A replica that a snapshot has carried past the mark never comes to it: it
// says so, and another mark is proposed.
func TestAMarkThatWasPassedIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proposed := 0
		var behind *Comparer
		options := Options{
			Self:   "n1",
			Voters: func(uint16) []Voter { return []Voter{{Node: "n1"}, {Node: "n2"}, {Node: "n3", Gone: true}} },
			Mark: func(context.Context, uint16, [16]byte, bool) ([]byte, error) {
				proposed++
				return []byte{byte(proposed)}, nil
			},
			At: func(_ context.Context, _ uint16, mark []byte) (Replica, error) {
				return Replica{Applied: uint64(mark[0]), Chain: "a"}, nil
			},
			Applied: func(uint16) uint64 { return 9 },
			Ask: func(ctx context.Context, node, _ string, request, answer any) error {
				found, err := behind.At(ctx, request.(MarkRequest))
				*answer.(*Replica) = found
				return err
			},
			Log: slog.New(slog.DiscardHandler), Meter: noop.Meter{},
		}
		leader, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		options.At = func(ctx context.Context, _ uint16, mark []byte) (Replica, error) {
			if mark[0] == 1 {
				<-ctx.Done()
				return Replica{}, ctx.Err()
			}
			return Replica{Applied: uint64(mark[0]), Chain: "a"}, nil
		}
		if behind, err = New(options); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		d, err := leader.Compare(t.Context(), Request{Shard: 1})
		if err != nil || proposed != 2 || d.Differs() || d.Replicas[1].Error != "" || d.Replicas[1].Applied != 2 {
			t.Errorf("after %d marks: %+v, %v", proposed, d, err)
		}
		if d.Replicas[2].Error == "" {
			t.Error("a replica of an old incarnation was asked")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// One that cannot come to the mark is not waited for without end.
func TestAReplicaThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{
			At: func(ctx context.Context, _ uint16, _ []byte) (Replica, error) {
				<-ctx.Done()
				return Replica{}, ctx.Err()
			},
			Applied: func(uint16) uint64 { return 3 },
			Log:     slog.New(slog.DiscardHandler), Meter: noop.Meter{},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.At(t.Context(), MarkRequest{Shard: 1, Index: 4}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
