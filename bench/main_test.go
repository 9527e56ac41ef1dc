package main

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Straight from load to sink, nothing is lost but what the sink drops.
func TestRunPassesVerdict(t *testing.T) {
	for drop, want := range map[int64]error{0: nil, 60: errVerdict} {
		address := freeAddress(t)
		c := runCmd{
			loadFlags: loadFlags{Targets: []string{address}, Sessions: 4, Count: 100, JSON: true},
			sinkFlags: sinkFlags{Listen: address, Control: freeAddress(t), Drop: drop},
			Settle:    100 * time.Millisecond,
		}
		if err := c.Run(t.Context()); !errors.Is(err, want) {
			t.Errorf("dropping one in %d: %v, want %v", drop, err, want)
		}
	}
}

// The same through files.
func TestVerdictReadsFiles(t *testing.T) {
	for drop, want := range map[int64]error{0: nil, 60: errVerdict} {
		dir := t.TempDir()
		records, seen := filepath.Join(dir, "load"), filepath.Join(dir, "sink")
		s, stop, err := sinkFlags{Listen: "127.0.0.1:0", Drop: drop}.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l := loadCmd{loadFlags: loadFlags{Targets: []string{s.Address()}, Count: 100}, Out: records}
		if err := errors.Join(l.Run(t.Context()), stop(), writeSink(seen, s)); err != nil {
			t.Fatal(err)
		}
		v := verdictCmd{Load: []string{records}, Sink: []string{seen}}
		if err := v.Run(); !errors.Is(err, want) {
			t.Errorf("dropping one in %d: %v, want %v", drop, err, want)
		}
	}
}
