package attempt

import "testing"

func TestAnUnsentAttemptIsRevokedByTheAnswer(t *testing.T) {
	tab, k := NewTable(), Key{ID: "a", Number: 1}
	tab.Begin(k, []uint32{0})
	if got := tab.Ask(k); got != Unsent {
		t.Fatalf("Ask = %d, want Unsent", got)
	}
	if tab.Send(k) {
		t.Error("a dot may be sent after a new leader was told that none was")
	}
}

func TestASentAttemptWaitsUntilItsOutcomeIsRecorded(t *testing.T) {
	tab, k := NewTable(), Key{ID: "a", Number: 1}
	tab.Begin(k, []uint32{0, 2})
	if !tab.Send(k) {
		t.Fatal("Send refused")
	}
	tab.End(k, []uint32{0})
	if got := tab.Ask(k); got != Waiting {
		t.Errorf("one recipient left: Ask = %d, want Waiting", got)
	}
	tab.End(k, []uint32{2})
	if tab.Len() != 0 || tab.Ask(k) != Unsent {
		t.Error("a resolved attempt stays in the table")
	}
	tab.End(k, []uint32{2})
}

func TestALostOutcomeIsLostOnlyIfTheDotMayHaveBeenSent(t *testing.T) {
	tab := NewTable()
	sent, unsent, taken := Key{"a", 1}, Key{"a", 2}, Key{"a", 3}
	for _, k := range []Key{sent, unsent, taken} {
		tab.Begin(k, []uint32{0})
	}
	tab.Send(sent)
	tab.Send(taken)
	tab.Unsend(taken)
	for _, k := range []Key{sent, unsent, taken, {"b", 1}} {
		tab.Lose(k)
	}
	if tab.Ask(sent) != Lost || tab.Ask(unsent) != Unsent || tab.Ask(taken) != Unsent {
		t.Error("wrong knowledge of lost attempts")
	}
	if tab.Has(sent) || tab.Has(unsent) {
		t.Error("a lost attempt counts as under way")
	}
	tab.Unsend(unsent)
	if tab.Send(unsent) {
		t.Error("Send of an attempt that is not in the table")
	}
}
