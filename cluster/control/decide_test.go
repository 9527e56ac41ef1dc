package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"quorumta/cluster/control"
)

func member(name, incarnation string, level int) control.Member {
	return control.Member{Name: name, Incarnation: incarnation, Address: name + ":1", Level: level}
}

// founded is a map of three members that can be changed.
func founded(t *testing.T) control.Map {
	t.Helper()
	first := control.Found([]control.Member{member("n1", "a", 2), member("n2", "b", 2), member("n3", "c", 1)}, 3, 0)
	return change(t, control.Map{}, []control.Event{{Kind: control.Founded, Map: &first}})
}

func change(t *testing.T, m control.Map, events []control.Event) control.Map {
	t.Helper()
	next, err := m.Apply(m.Version+1, control.Change{Base: m.Version, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestWhoMayJoinAndLeave(t *testing.T) {
	m := founded(t)
	dead := func(names string) func(string) bool {
		return func(name string) bool { return !strings.Contains(names, name) }
	}
	gone := change(t, m, []control.Event{{Kind: control.Leaving, Name: "n3"}})
	upgraded := change(t, m, []control.Event{{Kind: control.Upgraded, Count: 2}})
	join := func(m control.Map, x control.Member, dead func(string) bool) error {
		_, err := m.Join(x, dead)
		return err
	}
	remove := func(m control.Map, name string, force bool, dead func(string) bool) error {
		_, err := m.Remove(name, force, dead)
		return err
	}
	taken := member("n4", "d", 2)
	taken.Address = "n1:1"
	for _, c := range []struct {
		name, says string // "" for a success
		err        error
	}{
		{"a new one", "", join(m, member("n4", "d", 2), dead(""))},
		{"a bad name", "without slash", join(m, member("n/4", "d", 2), dead(""))},
		{"without an incarnation", "an incarnation", join(m, member("n4", "", 2), dead(""))},
		{"an address that is taken", "n1 has the address", join(m, taken, dead(""))},
		{"a name that is alive", "alive", join(m, member("n2", "x", 2), dead(""))},
		{"a name that is dead", "", join(m, member("n2", "x", 2), dead("n2"))},
		{"a member again", "", join(m, member("n2", "b", 2), dead(""))},
		{"one that is leaving", "is leaving", join(gone, member("n3", "c", 1), dead(""))},
		{"an old program", "too old", join(upgraded, member("n4", "d", 1), dead(""))},
		{"a member leaves", "", remove(m, "n3", false, dead("n3"))},
		{"nobody leaves", "no such member", remove(m, "n9", false, dead(""))},
		{"without a majority of the rest", "--force", remove(m, "n3", false, dead("n1 n3"))},
		{"all the same", "", remove(m, "n3", true, dead("n1 n3"))},
		{"again", "", remove(gone, "n3", false, dead(""))},
	} {
		if (c.err == nil) != (c.says == "") || (c.err != nil && !strings.Contains(c.err.Error(), c.says)) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}

func TestTheLastMemberStays(t *testing.T) {
	first := control.Found([]control.Member{member("n1", "a", 1)}, 0, 0)
	m := change(t, control.Map{}, []control.Event{{Kind: control.Founded, Map: &first}})
	if _, err := m.Remove("n1", true, func(string) bool { return true }); err == nil {
		t.Error("the last member leaves")
	}
}

func TestTokensAreUsedOnce(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	alive := func(string) bool { return true }
	m := founded(t)
	made, err := m.MakeToken([]byte("secret"), now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	m = change(t, m, made)
	for _, c := range []struct {
		secret string
		at     time.Time
	}{{"other", now}, {"secret", now.Add(time.Hour)}} {
		if _, err := m.Redeem([]byte(c.secret), c.at, member("n4", "d", 2), alive); !errors.Is(err, control.ErrToken) {
			t.Errorf("%s at %v: %v", c.secret, c.at, err)
		}
	}
	if _, err := m.Redeem([]byte("secret"), now, member("n2", "x", 2), alive); err == nil || errors.Is(err, control.ErrToken) {
		t.Errorf("a name that is alive: %v", err)
	}
	used, err := m.Redeem([]byte("secret"), now, member("n4", "d", 2), alive)
	if err != nil {
		t.Fatal(err)
	}
	m = change(t, m, used)
	if _, err := m.Redeem([]byte("secret"), now, member("n5", "e", 2), alive); !errors.Is(err, control.ErrToken) {
		t.Errorf("again: %v", err)
	}
	if _, ok := m.Member("n4"); !ok || len(m.Tokens) != 0 {
		t.Errorf("%+v", m)
	}
}

func TestAnUpgradeGoesAsFarAsAllAre(t *testing.T) {
	m := founded(t)
	if events, _ := m.Upgrade(); m.Level != 1 || len(events) != 0 {
		t.Errorf("with n3 at level 1: level %d, %+v", m.Level, events)
	}
	x := member("n3", "c", 2)
	events, err := m.Announce(x)
	if err != nil {
		t.Fatal(err)
	}
	m = change(t, m, events)
	if events, _ = m.Upgrade(); len(events) != 1 || events[0].Count != 2 {
		t.Errorf("with all at level 2: %+v", events)
	}
	x.Incarnation = "other"
	if _, err := m.Announce(x); err == nil {
		t.Error("a stranger announces itself")
	}
}

// An entry that can be folded is mail: it is skipped only where a replica has
// stopped at it, or by force.
func TestASkipNeedsEvidence(t *testing.T) {
	m := founded(t)
	for _, c := range []struct {
		stopped map[string]uint64
		force   bool
		refusal string // "": it is decided
	}{
		{nil, false, "no replica of shard 1 that answers has stopped"},
		{map[string]uint64{"n3": 8, "n2": 9}, false, "has stopped at entry 7, but n2 at entry 9, n3 at entry 8"},
		{map[string]uint64{"n3": 7, "n2": 9}, false, ""},
		{nil, true, ""},
	} {
		events, err := m.Skip(1, 7, c.force, c.stopped)
		if c.refusal == "" && (err != nil || len(events) != 1) {
			t.Errorf("%+v: %+v, %v", c, events, err)
		}
		if c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := m.Skip(0, 7, true, nil); err == nil {
		t.Error("an entry of the control group is skipped")
	}
}

// What a newer program wrote must stop an older one, not be half understood.
func TestUnknownChangesAreNotFolded(t *testing.T) {
	m := founded(t)
	if _, err := m.Apply(9, control.Change{Base: m.Version, Events: []control.Event{{Kind: "renamed"}}}); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("an unknown kind: %v", err)
	}
	for _, entry := range []string{`{"base":1,"events":[{"kind":"left","name":"n1","why":"x"}]}`, "", "\x00", "[]"} {
		if _, err := control.DecodeChange([]byte(entry)); !errors.Is(err, control.ErrUnknown) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	for _, e := range []control.Event{
		{Kind: control.Left, Name: "n9"}, {Kind: control.Opened, Shard: 2, Replicas: []string{"n1/a"}},
		{Kind: control.Assigned, Shard: 9, Replicas: []string{"n1/a"}}, {Kind: control.Assigned, Shard: 1},
		{Kind: control.Closed, Shard: 0}, {Kind: control.TokenGone, Token: &control.Token{}}, {Kind: control.Joined}, {Kind: control.Founded},
	} {
		if _, err := m.Apply(9, control.Change{Base: m.Version, Events: []control.Event{e}}); err == nil {
			t.Errorf("%+v is folded", e)
		}
	}
}
