package proc

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Written is how many bytes the process has sent to its disk so far.
func (n *Node) Written() (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(n.PID()) + "/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			return strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	return 0, errors.New("no write_bytes in /proc/PID/io")
}

// DiskUse is the bytes of all files below a folder.
func DiskUse(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go while we walk
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// Logged counts the lines of the logs of all its runs that hold a text.
func (n *Node) Logged(text string) (int, error) {
	lines, err := os.ReadFile(n.LogFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return bytes.Count(lines, []byte(text)), err
}

// Snapshots counts the snapshots that a node has fetched from others in all its
// runs, as their logs tell.
func (c *Cluster) Snapshots(node string) (int, error) {
	count := 0
	for _, n := range c.Nodes {
		text, err := os.ReadFile(n.LogFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		for line := range bytes.Lines(text) {
			if bytes.Contains(line, []byte("the snapshot has been fetched")) && bytes.Contains(line, []byte(`"by":"`+node+`/`)) {
				count++
			}
		}
	}
	return count, nil
}
