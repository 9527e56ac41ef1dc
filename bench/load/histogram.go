package load

import (
	"math/bits"
	"time"
)

// histogram counts latencies in microseconds, with 16 buckets for each power
// of two: a value read from it is at most 6 % too high.
type histogram struct {
	counts [16 * 40]int64
	total  int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0))
	h.counts[min(bucket(us), len(h.counts)-1)]++
	h.total++
	h.max = max(h.max, d)
}

func bucket(us uint64) int {
	if us < 32 {
		return int(us)
	}
	e := bits.Len64(us) - 5
	return e*16 + int(us>>e)
}

// quantile is the value that a share q of what was added does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	var seen int64
	for i, n := range h.counts {
		seen += n
		if seen > rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// upper is the first value beyond the bucket.
func upper(i int) time.Duration {
	if i < 32 {
		return time.Duration(i+1) * time.Microsecond
	}
	e := i/16 - 1
	return time.Duration(uint64(i-e*16+1)<<e) * time.Microsecond
}

// Bucket is how many latencies lay between its neighbour's bound and its own.
type Bucket struct {
	// UpTo is the bound, milliseconds.
	UpTo  float64 `json:"up_to_ms"`
	Count int64   `json:"count"`
}

// buckets are those that are not empty, ascending.
func (h *histogram) buckets() []Bucket {
	var out []Bucket
	for i, n := range h.counts {
		if n > 0 {
			out = append(out, Bucket{UpTo: float64(upper(i).Microseconds()) / 1000, Count: n})
		}
	}
	return out
}

// Latency sums up a histogram, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func (h *histogram) latency() Latency {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Latency{ms(h.quantile(0.50)), ms(h.quantile(0.95)), ms(h.quantile(0.99)), ms(h.max)}
}
