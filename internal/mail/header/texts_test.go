package header

import "testing"

func TestTexts(t *testing.T) {
	got := Texts([]byte("Subject: a\r\n b\r\nX:1\r\nx: 2\r\nno field\r\n more\r\nY :  \r\n\r\nZ: body\r\n"))
	want := map[string]string{"subject": "a b", "x": "1, 2", "y": ""}
	if len(got) != len(want) || got["subject"] != want["subject"] || got["x"] != want["x"] {
		t.Errorf("got %q", got)
	}
}
