package queue

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"quorumta/queue/event"
)

func TestWhatIsMeasured(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	h := open(t, 1, Options{Meter: provider.Meter("test")})
	o := h.office()
	for range 3 {
		h.submit([]byte("x\r\n"), "a@b.example")
	}
	rows := waitDue(t, o, 3)
	if err := h.Operate(t.Context(), ActHold, rows[0].ID, "op", ""); err != nil {
		t.Fatal(err)
	}
	c, err := o.Claim(t.Context(), rows[1].ID, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	doubted := &event.Doubted{Number: c.Number, Recipients: []uint32{0}, By: h.Process(), Term: o.Term()}
	if err := h.Resolve(t.Context(), Outcome{ID: c.ID, Events: []event.Event{doubted}}); err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				sums[m.Name] += p.Value
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				name, _ := p.Attributes.Value("state")
				sums[m.Name+"/"+name.AsString()] += p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				sums[m.Name] += int64(p.Count)
			}
		case metricdata.Gauge[float64]:
			sums[m.Name] = 1
		}
	}
	for name, want := range map[string]int64{
		"quorumta_queue_accepted":           3,
		"quorumta_queue_submit_duration":    3,
		"quorumta_queue_claims":             1,
		"quorumta_queue_resolved":           1,
		"quorumta_queue_in_doubt":           1,
		"quorumta_queue_messages/held":      1,
		"quorumta_queue_messages/due":       2,
		"quorumta_queue_messages/in_flight": 0,
		"quorumta_queue_messages/deferred":  0,
		"quorumta_queue_oldest_due_age":     1,
	} {
		if n, ok := sums[name]; !ok || n != want {
			t.Errorf("%s = %d (%v), want %d", name, n, ok, want)
		}
	}
}

func TestContentForAnotherNode(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	request, err := json.Marshal(map[string]any{"id": id})
	if err != nil {
		t.Fatal(err)
	}
	want := append(received(id), "x\r\n"...)
	if b, err := h.serveContent(t.Context(), "n2", request); err != nil || !slices.Equal(b, want) {
		t.Errorf("%q, %v", b, err)
	}
	request, err = json.Marshal(map[string]any{"id": id, "n": 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.serveContent(t.Context(), "n2", request); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such part: %v", err)
	}
	if _, err := h.serveContent(t.Context(), "n2", []byte("{")); err == nil {
		t.Error("a broken request is answered")
	}
}

func TestProposalsOfAnotherNode(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	if _, err := h.servePropose(t.Context(), "n2", []byte{0xff}); err == nil {
		t.Error("a broken proposal is taken")
	}
	if reply, err := h.servePropose(t.Context(), "n2", event.Append(nil, event.Entry{})); err != nil || len(reply) != 0 {
		t.Errorf("nothing proposed: %v, %v", reply, err)
	}
	id := h.submit([]byte("x\r\n"), "a@b.example")
	held := event.Append(nil, event.Entry{Groups: []event.Group{{ID: id, Events: []event.Event{&event.Held{By: "op"}}}}})
	h.desk.leave(1)
	reply, err := h.servePropose(t.Context(), "n2", held)
	if v := verdicts(reply, 1)[0]; err != nil || !v.NotProposed() {
		t.Errorf("out of office: %+v, %v", v, err)
	}
	if v := verdicts(reply, 2)[1]; v.Definite() || v.NotProposed() {
		t.Errorf("an answer of the wrong length: %+v", v)
	}
	for _, b := range []byte{answerUnknown, answerDiskFull} {
		if v := verdicts([]byte{b}, 1)[0]; v.Definite() || v.NotProposed() != (b == answerDiskFull) {
			t.Errorf("answer %x: %+v", b, v)
		}
	}
}
