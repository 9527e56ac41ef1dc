package failover

import (
	"testing"
	"time"

	"quorumta/bench/load"
)

func TestSecondsTellWhatClientsFelt(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	got := Report{Seconds: seconds(began, 3*time.Second, []load.Record{
		{Class: load.Acknowledged, At: at(100), TookMicros: 5000},
		{Class: load.Acknowledged, At: at(900), TookMicros: 7000},
		{Class: load.Transient, At: at(1500)},
		{Class: load.Acknowledged, At: at(2999), TookMicros: 1_500_000},
		{Class: load.Acknowledged, At: at(3001), TookMicros: 9_000_000},
	})}
	if got.Silent() != 1 || got.WorstP99() != 1500 {
		t.Errorf("%d silent seconds and a worst p99 of %v ms in %+v", got.Silent(), got.WorstP99(), got.Seconds)
	}
	if s := got.Seconds; s[0].Acknowledged != 2 || s[0].Max != 7 || s[1].Other != 1 || s[2].Acknowledged != 1 {
		t.Errorf("%+v", s)
	}
}
