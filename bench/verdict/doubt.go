package verdict

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"quorumta/bench/load"
	"quorumta/bench/sink"
)

// Doubts are the recipients that the relay itself calls in doubt: how often
// each was.
type Doubts struct {
	times map[doubt]int
	// queueIDs leads from the id that load gave a message to the relay's: the
	// client of a message with an unknown outcome was never told it.
	queueIDs map[string]string
}

type doubt struct{ queueID, recipient string }

// ReadDoubts reads what `quorumta events` prints: of its lines, those with
// event "in_doubt", id and recipient count, and those with event "accepted",
// id and header_id tell which message is which.
func ReadDoubts(r io.Reader) (Doubts, error) {
	d := Doubts{times: map[doubt]int{}, queueIDs: map[string]string{}}
	decoder := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	for n := 1; ; n++ {
		var e struct {
			Event     string `json:"event"`
			ID        string `json:"id"`
			Recipient string `json:"recipient"`
			HeaderID  string `json:"header_id"`
		}
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		if err != nil {
			return d, fmt.Errorf("event %d: %w", n, err)
		}
		switch e.Event {
		case "in_doubt":
			d.times[doubt{e.ID, strings.ToLower(e.Recipient)}]++
		case "accepted":
			id, _, _ := strings.Cut(strings.Trim(e.HeaderID, "<>"), "@")
			d.queueIDs[id] = e.ID
		}
	}
}

// of is how often a recipient of a message was in doubt. queueID may be "".
func (d Doubts) of(id, queueID, recipient string) int {
	if queueID == "" {
		queueID = d.queueIDs[id]
	}
	return d.times[doubt{queueID, strings.ToLower(recipient)}]
}

func (d Doubts) count() int64 {
	var n int64
	for _, times := range d.times {
		n += int64(times)
	}
	return n
}

// ReadSink tells the judge what a sink's result file says.
func (j *Judge) ReadSink(r io.Reader) error {
	decoder := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	for n := 1; ; n++ {
		var l sink.Line
		err := decoder.Decode(&l)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the sink's line %d: %w", n, err)
		}
		if l.Sink != nil {
			j.Stats(*l.Sink)
		}
		if l.Seen != nil {
			j.Seen(*l.Seen)
		}
	}
}

// ReadLoad tells the judge what load's records say.
func (j *Judge) ReadLoad(r io.Reader) error {
	decoder := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	for n := 1; ; n++ {
		var rec load.Record
		err := decoder.Decode(&rec)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load's line %d: %w", n, err)
		}
		j.Record(rec)
	}
}
