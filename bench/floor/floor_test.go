package floor

import (
	"bufio"
	"context"
	"os"
	"strings"
	"testing"

	"quorumta/bench/load"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

func TestReadContent(t *testing.T) {
	for _, text := range []string{".\r\n", "a\r\n.\r\n", "\r\n.\r\n", "a\r\n..\r\n.x\r\n.\r\n", strings.Repeat("x", 99) + "\r\n.\r\n"} {
		for size := 16; size < 120; size += 13 {
			r := bufio.NewReaderSize(strings.NewReader(text+"QUIT\r\n"), size)
			got, err := readContent(r)
			if err != nil || string(got) != text {
				t.Errorf("%q in pieces of %d: %q, %v", text, size, got, err)
			}
			if line, _ := r.ReadString('\n'); line != "QUIT\r\n" {
				t.Errorf("%q: then %q", text, line)
			}
		}
	}
}

// Three nodes in this process carry everything to the next hop, once.
func TestFloorRelays(t *testing.T) {
	hop, err := work.NewHop(sink.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer hop.Close()
	s, err := Kind(false).New(subject.Place{Dir: t.TempDir(), Hop: hop.Address()})
	if err != nil {
		t.Fatal(err)
	}
	f := s.(*floor)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, members)
	for i := range members {
		n := Node{SMTP: f.smtp[i], Link: f.links[i], Log: f.place.Dir + "/log" + f.smtp[i], Hop: hop.Address()}
		n.Others = append(append(n.Others, f.links[:i]...), f.links[i+1:]...)
		go func() { ended <- n.Run(ctx) }()
		if err := subject.WaitBanner(ctx, n.SMTP); err != nil {
			t.Fatal(err)
		}
	}
	l, err := load.New(load.Options{Targets: f.smtp, Sessions: 9, Count: 300, Size: 50_000})
	if err != nil {
		t.Fatal(err)
	}
	if r := l.Run(ctx); r.Acknowledged != 300 {
		t.Fatalf("%d of 300 were acknowledged: %v", r.Acknowledged, r.Refusals)
	}
	if _, got := hop.Wait(ctx, 0, 300, work.Standstill, work.Standstill); got != 300 {
		t.Fatalf("%d of 300 arrived", got)
	}
	var logged int64
	for _, a := range f.smtp {
		if info, err := os.Stat(f.place.Dir + "/log" + a); err == nil {
			logged += info.Size()
		}
	}
	if want := int64(2 * 300 * 50_000); logged < want {
		t.Errorf("the logs have %d bytes, two copies are %d", logged, want)
	}
	cancel()
	for range members {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
