package header

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMailboxes(t *testing.T) {
	for value, want := range map[string][][2]string{
		" a@x.example": {{"a@x.example", "a@x.example"}},
		" a@x.example, <b@y.example>,,c@z.example":        {{"a@x.example", "a@x.example"}, {"<b@y.example>", "b@y.example"}, {"c@z.example", "c@z.example"}},
		` "Doe, John" <j@x.example> (his, "main)`:         {{`"Doe, John" <j@x.example>`, "j@x.example"}},
		` "Doe, John" <j@x.example> (home)`:               {{`"Doe, John" <j@x.example>`, "j@x.example"}},
		` (hi) a@x.example (Alan <b@y.example>)`:          {{"a@x.example", "a@x.example"}},
		` friends: a@x.example, B <b@y.example>;, c@z.de`: {{"a@x.example", "a@x.example"}, {"B <b@y.example>", "b@y.example"}, {"c@z.de", "c@z.de"}},
		` undisclosed-recipients:;`:                       nil,
		" <>":                                             nil,
		"":                                                nil,
		" Only A Name":                                    nil,
		` "quoted \" local"@x.example`:                    {{`"quoted \" local"@x.example`, `"quoted \" local"@x.example`}},
		" x@[ipv6:::1], y@z.example":                      {{"x@[ipv6:::1]", "x@[ipv6:::1]"}, {"y@z.example", "y@z.example"}},
		" <@route,@via:a@x.example>":                      {{"<@route,@via:a@x.example>", "@route,@via:a@x.example"}},
		" =?utf-8?q?J=2C?= <a@x.example>\r\n\t":           {{"=?utf-8?q?J=2C?= <a@x.example>", "a@x.example"}},
		` broken "quote a@x.example`:                      {{`broken "quote a@x.example`, `broken "quote a@x.example`}},
		" a@x.example (open":                              {{"a@x.example (open", "a@x.example (open"}},
	} {
		var got [][2]string
		for _, m := range Mailboxes(value) {
			got = append(got, [2]string{value[m.Start:m.End], value[m.AddrStart:m.AddrEnd]})
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", value, d)
		}
	}
}

func TestAddressIsBare(t *testing.T) {
	for value, want := range map[string]string{
		" (one)a(two)@(three)\r\n x.example": "a@x.example",
		" \"a b\"@x.example":                 `"a b"@x.example`,
		" A <a@X.example>":                   "a@X.example",
	} {
		found := Mailboxes(value)
		if len(found) != 1 || found[0].Address(value) != want {
			t.Errorf("%q: %+v", value, found)
		}
	}
}

func FuzzMailboxes(f *testing.F) {
	f.Add(` "Doe, John" <j@x.example> (home), g: a@b;`)
	f.Fuzz(func(t *testing.T, value string) {
		at := 0
		for _, m := range Mailboxes(value) {
			if m.Start < at || m.End < m.Start || m.AddrStart < m.Start || m.AddrEnd > m.End || m.AddrEnd < m.AddrStart {
				t.Fatalf("%q: %+v after %d", value, m, at)
			}
			at = m.End
			m.Address(value)
		}
	})
}
