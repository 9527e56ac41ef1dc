package smtpc

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

func stuffed(t *testing.T, r io.Reader) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	s := lines{w: w, dots: true}
	if _, err := s.from(r, make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush()
	return out.String()
}

func TestStuffing(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a\r\n", "a\r\n"},
		{"a", "a\r\n"},
		{".", "..\r\n"},
		{".a\r\n.\r\n..b\r\n", "..a\r\n..\r\n...b\r\n"},
		{"a\r\n\r\n.\r\n", "a\r\n\r\n..\r\n"},
		{"a.b\r\n", "a.b\r\n"},
		{"a\n.\nb\n", "a\r\n..\r\nb\r\n"},
		{"a\r.\rb", "a\r\n..\r\nb\r\n"},
		{"a\r\r\nb\r", "a\r\n\r\nb\r\n"},
		{"\n\r\n\r", "\r\n\r\n\r\n"},
	} {
		for name, r := range map[string]io.Reader{
			"whole":    strings.NewReader(c.in),
			"by bytes": iotest.OneByteReader(strings.NewReader(c.in)),
			"halves":   iotest.HalfReader(strings.NewReader(c.in)),
		} {
			if got := stuffed(t, r); got != c.want {
				t.Errorf("%q %s: %q, want %q", c.in, name, got, c.want)
			}
		}
	}
}

// FuzzStuffing asserts what the promise needs: no line of a lone dot, no bare
// CR or LF, and nothing that depends on how the content was cut into reads.
func FuzzStuffing(f *testing.F) {
	f.Add("a\r\n.\r\nb")
	f.Add("\r\r\n.\r.\n.")
	f.Fuzz(func(t *testing.T, s string) {
		got := stuffed(t, strings.NewReader(s))
		if other := stuffed(t, iotest.OneByteReader(strings.NewReader(s))); other != got {
			t.Fatalf("%q: %q, by bytes %q", s, got, other)
		}
		theirs, err := io.ReadAll(textproto.NewReader(bufio.NewReader(strings.NewReader(got + ".\r\n"))).DotReader())
		if clean := strings.ReplaceAll(s, "\r\n", "\n"); !strings.Contains(clean, "\r") && strings.Count(clean, "\n") == strings.Count(s, "\r\n") {
			if err != nil || strings.TrimSuffix(string(theirs), "\n") != strings.TrimSuffix(clean, "\n") {
				t.Fatalf("%q: textproto reads %q, %v", s, theirs, err)
			}
		}
		plain := strings.ReplaceAll(got, "\r\n", "")
		if strings.ContainsAny(plain, "\r\n") || strings.Contains("\r\n"+got, "\r\n.\r\n") {
			t.Fatalf("%q: %q", s, got)
		}
		if got != "" && !strings.HasSuffix(got, "\r\n") {
			t.Fatalf("%q: %q does not end a line", s, got)
		}
	})
}

// BenchmarkStuffing writes content of lines of different lengths as DATA wants
// it; the aim is 1 GB/s where lines have the usual length.
func BenchmarkStuffing(b *testing.B) {
	for name, line := range map[string]string{
		"lines of 72":  strings.Repeat("x", 72) + "\r\n",
		"lines of 998": strings.Repeat("x", 998) + "\r\n",
		"empty lines":  "\r\n",
		"dots":         ".\r\n",
	} {
		content, buf := bytes.Repeat([]byte(line), 1<<20/len(line)), make([]byte, blockSize)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			began := cpuTime()
			for b.Loop() {
				s := lines{w: bufio.NewWriterSize(io.Discard, blockSize), dots: true}
				if _, err := s.from(bytes.NewReader(content), buf); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(content))*float64(b.N)/1e6/(cpuTime()-began).Seconds(), "MB/core-s")
		})
	}
}

// cpuTime does not grow because others use the machine, too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
