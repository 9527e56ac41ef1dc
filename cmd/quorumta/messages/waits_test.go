package messages

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"quorumta/internal/admin/api"
)

func TestTellWaits(t *testing.T) {
	at := func(hour int) *api.Time { return &api.Time{Time: time.Date(2026, 11, 24, hour, 0, 0, 0, time.UTC)} }
	m := &api.Message{Recipients: []api.Recipient{
		{Address: "a@far.example", State: "pending", Error: "refused", Host: "mx", Reply: "connection\nrefused", FirstFailed: at(1), LastFailed: at(3), Waits: &api.Waits{
			For: "host", Until: at(4), Why: "mx 192.0.2.1:25 has failed", Rule: "default", Step: "F 2h 15m", Expires: at(23), Warns: at(5),
		}, Route: json.RawMessage(`{"steps":[{"router":"r","verdict":"accepted"}],"result":"fail","reply":"550 no"}`)},
		{Address: "b@far.example", State: "in_flight", Waits: &api.Waits{For: "answer"}},
		{Address: "c@far.example", State: "delivered"},
		{Address: "d@far.example", State: "pending", Error: "recipient", Reply: "450 later", FirstFailed: at(1), LastFailed: at(1), Waits: &api.Waits{For: "elsewhere", Expires: at(2)}},
	}}
	var out bytes.Buffer
	if err := tellWaits(&out, m); err != nil {
		t.Fatal(err)
	}
	want := `<a@far.example> waits for its host, which is known to be bad (mx 192.0.2.1:25 has failed)
    next at 2026-11-24T04:00:00Z
    failed first 2026-11-24T01:00:00Z and last 2026-11-24T03:00:00Z: refused at mx: connection refused
    retry rule default, step F 2h 15m; a failure is final from 2026-11-24T23:00:00Z
    the sender is told of the delay at the first attempt after 2026-11-24T05:00:00Z
    r: accepted
    → fails: 550 no
<b@far.example> is being tried
<d@far.example> waits: elsewhere
    failed first 2026-11-24T01:00:00Z and last 2026-11-24T01:00:00Z: recipient: 450 later
    no retry rule fits, the usual steps; a failure is final from 2026-11-24T02:00:00Z
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
