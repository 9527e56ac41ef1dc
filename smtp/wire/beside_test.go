package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/smtp/smtptest"
)

// FuzzBesideTextproto has net/textproto read the same octets. It takes other
// line ends than CR LF, so only what we take is compared: it must be the same
// content, and end at the same octet.
func FuzzBesideTextproto(f *testing.F) {
	for _, d := range slices.Concat(good, bad) {
		if _, after, ok := strings.Cut(d.input, "DATA\r\n"); ok {
			f.Add([]byte(after), 3)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		in := &reader{
			src:    &scripted{in: data, step: max(1, step%5000)},
			before: func() error { return nil }, buf: make([]byte, 8<<10),
		}
		d := newDotReader(in, 1<<20, 1<<20)
		content, err := io.ReadAll(d)
		if err != nil {
			return
		}
		theirs := textproto.NewReader(bufio.NewReaderSize(bytes.NewReader(data), 16))
		want, err := io.ReadAll(theirs.DotReader())
		if err != nil || !bytes.Equal(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), want) {
			t.Fatalf("we read %q, textproto %q, %v", content, want, err)
		}
		ours, _ := io.ReadAll(io.MultiReader(bytes.NewReader(slices.Clone(in.buffered())), in.src))
		rest, _ := io.ReadAll(theirs.R)
		if !bytes.Equal(ours, rest) {
			t.Fatalf("behind the content we see %q, textproto %q", ours, rest)
		}
	})
}

// TestBesidePostfix sends the same octets to a real Postfix, which takes bare
// line feeds for line ends: where we refuse nothing, it takes the same content,
// and sees no message that we do not see.
func TestBesidePostfix(t *testing.T) {
	postfix := smtptest.Postfix(t, "")
	const streams = 100
	ours, clean, sent := map[int][]string{}, map[int]bool{}, 0
	random := rand.New(rand.NewPCG(1, 2))
	for n := range streams {
		stream := randomStream(random, n)
		b := &recorder{}
		o := testOptions(b)
		o.MaxErrors = 0
		replies, _ := talk(stream, 1+random.IntN(100), o)
		for _, m := range b.all() {
			ours[n] = append(ours[n], bodyOf(strings.ReplaceAll(m.content, "\r\n", "\n")))
		}
		clean[n] = !strings.Contains(verdicts(replies), "fault") && !strings.Contains(replies, "521 ")
		sent += queuedBy(t, postfix.Address, stream)
	}
	theirs, taken := map[int][]string{}, 0
	for _, content := range postfix.Arrivals(t, sent) {
		for n := range streams {
			if strings.Contains(content, fmt.Sprintf("X-Stream: %d\n", n)) {
				theirs[n] = append(theirs[n], bodyOf(content))
			}
		}
	}
	for n := range streams {
		taken += len(ours[n])
		// Postfix hangs up on a client whose content it takes for commands, so
		// what follows an end within the content may be ours alone.
		if clean[n] && !slices.Contains(theirs[n], ours[n][0]) {
			t.Errorf("stream %d: we took %q, Postfix %q", n, ours[n], theirs[n])
		}
		for _, content := range theirs[n] {
			if clean[n] && !slices.Contains(ours[n], content) {
				t.Errorf("stream %d: we took %q, Postfix %q", n, ours[n], theirs[n])
			}
		}
	}
	if taken < streams/4 {
		t.Errorf("only %d messages were taken: the streams say little", taken)
	}
}

// randomStream is a session with one or two messages whose lines, ends and
// dots are drawn; a part of them has wrong line ends.
func randomStream(random *rand.Rand, n int) string {
	pieces := []string{"\r\n", "\r\n", ".", "..", "a", "text", ".\r\n.", "\r\n..\r\n", "\r\n.x", " ", strings.Repeat("y", 200)}
	if n%2 == 1 {
		pieces = append(pieces, "\n", "\r", "\n.\n", "\r.\r\n", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r\r\n")
	}
	var b strings.Builder
	b.WriteString("EHLO x\r\n")
	for range 1 + random.IntN(2) {
		fmt.Fprintf(&b, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@them.example>\r\nDATA\r\nX-Stream: %d\r\n\r\n", n)
		for range random.IntN(12) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		b.WriteString("\r\n.\r\n")
	}
	return b.String() + "RSET\r\nQUIT\r\n"
}

func bodyOf(content string) string {
	_, body, _ := strings.Cut(content, "\n\n")
	return body
}

// queuedBy plays a stream to a server and returns how many messages it took.
func queuedBy(t *testing.T, address, stream string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, stream); err != nil {
		t.Fatal(err)
	}
	replies, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(replies), "queued as")
}
