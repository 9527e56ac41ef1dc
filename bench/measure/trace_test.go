package measure

import (
	"strings"
	"testing"
)

func TestReadSyncs(t *testing.T) {
	for name, c := range map[string]struct {
		trace string
		want  Syncs
	}{
		"before and after": {`
10 fsync(3) = 0
10 write(9, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n", 60) = 60
11 fdatasync(7 <unfinished ...>
10 write(4, "x", 1) = 1
11 <... fdatasync resumed>) = 0
10 write(9, "250 2.0.0 Ok: queued as 1\r\n", 27) = 27
11 fsync(8) = 0
10 write(9, "250 2.0.0 Ok\r\n", 14) = 14
`, Syncs{Before: 1, All: 3}},
		"none": {`
10 sendto(9, "354 go on\r\n", 11, 0, NULL, 0) = 11
10 writev(9, [{iov_base="250 ok\r\n", iov_len=8}], 1) = 8
`, Syncs{}},
	} {
		got, err := readSyncs(strings.NewReader(strings.TrimSpace(c.trace)))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}
