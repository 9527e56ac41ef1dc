package measure

import "testing"

func TestParseTraffic(t *testing.T) {
	const before = `ESTAB 0 0 127.0.0.1:7901 127.0.0.1:4000 users:(("q",pid=7,fd=40)) bbr bytes_sent:100 bytes_acked:1
ESTAB 0 0 127.0.0.1:4000 127.0.0.1:7901 users:(("q",pid=8,fd=4)) bbr bytes_sent:10 bytes_acked:1
ESTAB 0 0 127.0.0.1:4000 127.0.0.1:25 users:(("q",pid=8,fd=4)) bbr bytes_sent:9999 bytes_acked:1
`
	const after = `ESTAB 0 0 127.0.0.1:7901 127.0.0.1:4000 users:(("q",pid=7,fd=40)) bbr bytes_sent:150 bytes_acked:1
ESTAB 0 0 127.0.0.1:7901 127.0.0.1:5000 users:(("q",pid=7,fd=41)) bbr bytes_sent:3 bytes_acked:1
`
	addresses := []string{"127.0.0.1:7901"}
	got := parseTraffic(after, addresses).Since(parseTraffic(before, addresses))
	if len(got) != 1 || got[7] != 53 {
		t.Errorf("%v, want 53 bytes of process 7", got)
	}
}

func TestParsePage(t *testing.T) {
	p := parsePage("# HELP a b\na{x=\"1 2\"} 3\na{x=\"2\"} 4\nb 1.5e+06\n")
	if p["a"] != 7 || p["b"] != 1.5e6 {
		t.Errorf("%v", p)
	}
}
