package measure

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Traffic is what has been sent over connections so far: bytes by the process
// that sent them and by connection.
type Traffic map[flow]int64

type flow struct {
	pid         int
	local, peer string
}

// ReadTraffic asks the kernel, through ss, for the connections of which one
// end is one of these addresses, host:port. What was sent over a connection
// that has been closed is not known any more: this is for those that stay.
func ReadTraffic(ctx context.Context, addresses []string) (Traffic, error) {
	text, err := exec.CommandContext(ctx, "ss", "-tinpOH").Output()
	if err != nil {
		return nil, fmt.Errorf("ss: %w: install the package iproute2", err)
	}
	return parseTraffic(string(text), addresses), nil
}

func parseTraffic(text string, addresses []string) Traffic {
	t := Traffic{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || (!slices.Contains(addresses, f[3]) && !slices.Contains(addresses, f[4])) {
			continue
		}
		_, after, _ := strings.Cut(line, "pid=")
		id, _, _ := strings.Cut(after, ",")
		pid, _ := strconv.Atoi(id)
		_, after, _ = strings.Cut(line, "bytes_sent:")
		sent, _, _ := strings.Cut(after, " ")
		n, _ := strconv.ParseInt(sent, 10, 64)
		t[flow{pid, f[3], f[4]}] += n
	}
	return t
}

// Since is what each process has sent since an earlier reading.
func (t Traffic) Since(before Traffic) map[int]int64 {
	sum := map[int]int64{}
	for f, n := range t {
		sum[f.pid] += n - before[f]
	}
	return sum
}
