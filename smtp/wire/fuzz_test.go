package wire

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
)

// strict is the reference decoder of DATA, as plain as the rules: content ends
// with the first CR LF . CR LF, and is taken only if it has no bare CR, no
// bare LF, no NUL and no line that is too long. rest is what follows it.
func strict(in string, maxLine, maxSize int) (content, rest string, ended, sound bool) {
	raw, rest, ended := strings.Cut("\r\n"+in, "\r\n.\r\n")
	if !ended {
		return "", "", false, false
	}
	raw = strings.TrimPrefix(raw+"\r\n", "\r\n")
	var b strings.Builder
	for line := range strings.SplitAfterSeq(raw, "\r\n") {
		body := strings.TrimSuffix(line, "\r\n")
		if strings.ContainsAny(body, "\r\n\x00") {
			return "", rest, true, false
		}
		line = strings.TrimPrefix(line, ".")
		if len(line) > maxLine {
			return "", rest, true, false
		}
		b.WriteString(line)
	}
	return b.String(), rest, true, b.Len() <= maxSize
}

// FuzzDataNeverSmuggles compares the message after DATA with the reference's,
// and looks for every further message where it must stand in the input.
func FuzzDataNeverSmuggles(f *testing.F) {
	for _, d := range slices.Concat(good, bad) {
		if _, after, ok := strings.Cut(d.input, "DATA\r\n"); ok {
			f.Add([]byte(after), 3)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		o := testOptions(nil)
		o.MaxErrors = 0
		b := &recorder{}
		o.Backend = b
		conn := &scripted{in: []byte(begin4 + "DATA\r\n" + string(data)), step: max(1, step%5000)}
		NewConn(context.Background(), conn, o).Serve()

		got := b.all()
		want, _, ended, sound := strict(string(data), o.MaxLine, int(o.MaxMessage))
		switch {
		case ended && sound && (len(got) == 0 || got[0].content != want):
			t.Fatalf("the sound message %q was not taken; taken: %q", want, got)
		case (!ended || !sound) && len(got) > 0 && got[0].from == "a@example.org" && got[0].content == want:
			t.Fatalf("unsound content was taken: %q", got)
		}
		for i, m := range got {
			if i == 0 && ended && sound {
				continue
			}
			standsIn(t, data, m.content)
		}
	})
}

// standsIn checks that a further message stands in the input as DATA wants it,
// or as one of BDAT's chunks at least.
func standsIn(t *testing.T, data []byte, content string) {
	t.Helper()
	stuffed := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")[2:]
	if bytes.Contains(data, []byte(stuffed+".\r\n")) || bytes.Contains(bytes.ToUpper(data), []byte("BDAT ")) {
		return
	}
	t.Fatalf("the message %q is not in the input %q", content, data)
}

// FuzzConnection says anything at all: nothing may panic or run for ever, what
// is taken is sound, and the size of the steps changes nothing.
func FuzzConnection(f *testing.F) {
	for _, d := range slices.Concat(good, bad) {
		if len(d.input) < 5000 {
			f.Add([]byte(d.input), 1)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		one, two := &recorder{}, &recorder{}
		replies1, _ := talk(string(data), max(1, step%5000), testOptions(one))
		replies2, _ := talk(string(data), 1<<20, testOptions(two))
		if !slices.EqualFunc(one.all(), two.all(), func(a, b taken) bool { return a.content == b.content && a.from == b.from }) {
			t.Fatalf("messages depend on the steps: %q, %q", one.all(), two.all())
		}
		if verdicts(replies1) != verdicts(replies2) {
			t.Fatalf("replies depend on the steps: %s, %s", codes(replies1), codes(replies2))
		}
		for _, m := range one.all() {
			for line := range strings.SplitAfterSeq(m.content, "\r\n") {
				if body := strings.TrimSuffix(line, "\r\n"); strings.ContainsAny(body, "\r\n\x00") {
					t.Fatalf("unsound content was taken: %q", m.content)
				}
			}
		}
	})
}

// verdicts are the codes, with one name for all faults of content: which of
// several is named depends on how the octets come.
func verdicts(replies string) string {
	return strings.NewReplacer("550/5.5.2", "fault", "550/5.6.0", "fault", "552/5.3.4", "fault").Replace(codes(replies))
}
