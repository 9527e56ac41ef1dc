package reconcile

import (
	"slices"
	"strings"
	"testing"
)

// Configurations are written as words: a voter, or (a non-voter).
func TestNext(t *testing.T) {
	for _, c := range []struct {
		name            string
		servers, wanted string
		dead, behind    string
		self            string
		want            Step
	}{
		{"nothing to do", "a b c", "a b c", "", "", "a", Step{}},
		{"one is missing", "a b", "a b c", "", "", "a", Step{AddNonvoter, "c"}},
		{"it is not there yet", "a b", "a b c", "c", "", "a", Step{}},
		{"it has the log", "a b (c)", "a b c", "", "", "a", Step{AddVoter, "c"}},
		{"it has not", "a b (c)", "a b c", "", "c", "a", Step{}},
		{"its vote would take the majority", "a b c (d)", "a b d", "b c", "", "a", Step{}},
		{"one voter more, one dead", "a b c (d)", "a b d", "c", "", "a", Step{AddVoter, "d"}},
		{"then the dead one goes", "a b c d", "a b d", "c", "", "a", Step{Remove, "c"}},
		{"a non-voter that is not wanted goes first", "a b (x)", "a b c", "", "", "a", Step{Remove, "x"}},
		{"a live one stays until its heir votes", "a b c", "a b d", "d", "", "a", Step{}},
		{"a dead one need not", "a b c", "a b d", "c d", "", "a", Step{Remove, "c"}},
		{"not where the rest has no majority", "a b c d", "a b d", "b d", "", "a", Step{}},
		{"the leader hands over before it goes", "a b c", "b c", "", "", "a", Step{Transfer, "b"}},
		{"to one that has the log", "a b c", "b c", "", "b", "a", Step{Transfer, "c"}},
		{"the others go before the leader", "a b c d", "c d", "", "", "a", Step{Remove, "b"}},
		{"one that has lost its data begins anew", "a b lost", "a b lost", "lost", "", "a", Step{Remove, "lost"}},
		{"where the others are a majority", "a b lost", "a b lost", "b lost", "", "a", Step{}},
		{"and not before it has deleted what it had", "a b", "a b lost", "lost", "", "a", Step{}},
		{"two become one", "a b", "b", "", "", "b", Step{Remove, "a"}},
		{"but not when that one is dead", "a b", "b", "b", "", "a", Step{}},
	} {
		var servers []Server
		for _, word := range strings.Fields(c.servers) {
			id := strings.Trim(word, "()")
			servers = append(servers, Server{ID: id, Voter: id == word})
		}
		live := func(id string) bool { return !slices.Contains(strings.Fields(c.dead), id) }
		got := Next(servers, strings.Fields(c.wanted), Facts{Self: c.self, Live: live, CaughtUp: func(id string) bool {
			return live(id) && !slices.Contains(strings.Fields(c.behind), id)
		}, Lost: func(id string) bool { return id == "lost" }})
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
