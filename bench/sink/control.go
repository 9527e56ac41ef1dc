package sink

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
)

// Control is the sink's control port:
//
//	GET  /mode   how it behaves
//	POST /mode   a Mode in JSON: behave so from now on
//	GET  /stats  the counters
//	GET  /ids    what WriteTo writes
func (s *Sink) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mode", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Mode()) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Stats()) })
	mux.HandleFunc("POST /mode", func(w http.ResponseWriter, r *http.Request) {
		var m Mode
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
		d.DisallowUnknownFields()
		err := d.Decode(&m)
		if err == nil {
			err = s.SetMode(m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, s.Mode())
	})
	mux.HandleFunc("GET /ids", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		// A client that goes away is its own affair.
		_, _ = s.WriteTo(w)
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// As above.
	_ = json.NewEncoder(w).Encode(v)
}

// Line is a line of the sink's result: the first has the counters, each of the
// others what was seen of one message at one recipient.
type Line struct {
	Sink *Stats `json:"sink,omitempty"`
	*Seen
}

// WriteTo writes the result as JSON lines.
func (s *Sink) WriteTo(w io.Writer) (int64, error) {
	// The lock is not held while writing: a slow reader must not stop the mail.
	stats := s.Stats()
	seen := make([]Seen, 0, stats.Recipients)
	_ = s.Each(func(v Seen) error {
		seen = append(seen, v)
		return nil
	})
	c := &counting{w: w}
	b := bufio.NewWriterSize(c, 64<<10)
	e := json.NewEncoder(b)
	if err := e.Encode(Line{Sink: &stats}); err != nil {
		return c.n, err
	}
	for i := range seen {
		if err := e.Encode(Line{Seen: &seen[i]}); err != nil {
			return c.n, err
		}
	}
	err := b.Flush()
	return c.n, err
}

// counting counts what is written.
type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
