package maildir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Quota bounds a mailbox, with its folders and without Trash; 0: no bound.
type Quota struct {
	// Bytes counts files as they are, Messages how many.
	Bytes, Messages int64
}

// errFull: the message does not fit.
var errFull = errors.New("mailbox is full")

// The file maildirsize, by the specification of Maildir++:
//
//	1000000S,500C            the quota by which it was counted
//	     4711 3              octets and messages, negative where some went
//
// Each delivery appends a line in one write. Who finds it long, or over quota and
// not fresh, counts anew and replaces it.
const (
	sizeFile = "maildirsize"
	// mostSizes is how long the file may be.
	mostSizes = 5120
	// stale is the age from which a count that says full is not believed.
	stale = 15 * time.Minute
)

func (q Quota) zero() bool { return q.Bytes == 0 && q.Messages == 0 }

// line is the first one of the file.
func (q Quota) line() string {
	var words []string
	if q.Bytes > 0 {
		words = append(words, fmt.Sprintf("%dS", q.Bytes))
	}
	if q.Messages > 0 {
		words = append(words, fmt.Sprintf("%dC", q.Messages))
	}
	return strings.Join(words, ",")
}

// usage is what a mailbox holds.
type usage struct{ bytes, messages int64 }

func (q Quota) over(u usage, size int64) bool {
	return q.Bytes > 0 && u.bytes+size > q.Bytes || q.Messages > 0 && u.messages+1 > q.Messages
}

// fits asks whether a message of the size may be added.
func (q Quota) fits(box string, size int64, now time.Time) error {
	if q.zero() {
		return nil
	}
	u, lines, age, ok := q.read(box, now)
	if !ok || q.over(u, size) && (lines > 2 || age > stale) {
		var err error
		if u, err = q.recount(box); err != nil {
			return err
		}
	}
	if q.over(u, size) {
		return fmt.Errorf("%w: it holds %d octets in %d messages of the %s that it may, and %d are to be added", errFull, u.bytes, u.messages, q.line(), size)
	}
	return nil
}

// read sums up the file; ok is false where it is missing, too long, or of another
// quota, or holds what it should not.
func (q Quota) read(box string, now time.Time) (u usage, lines int, age time.Duration, ok bool) {
	f, err := os.Open(filepath.Join(box, sizeFile))
	if err != nil {
		return u, 0, 0, false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() > mostSizes {
		return u, 0, 0, false
	}
	in := bufio.NewScanner(io.LimitReader(f, mostSizes))
	for in.Scan() {
		if lines++; lines == 1 {
			if in.Text() != q.line() {
				return u, 0, 0, false
			}
			continue
		}
		var bytes, messages int64
		if _, err := fmt.Sscan(in.Text(), &bytes, &messages); err != nil {
			return u, 0, 0, false
		}
		u.bytes += bytes
		u.messages += messages
	}
	return u, lines, now.Sub(info.ModTime()), lines > 0 && in.Err() == nil
}

// recount looks at every message and replaces the file.
func (q Quota) recount(box string) (usage, error) {
	var u usage
	folders, err := os.ReadDir(box)
	if err != nil {
		return u, err
	}
	u.add(box)
	for _, f := range folders {
		if f.IsDir() && strings.HasPrefix(f.Name(), ".") && f.Name() != ".Trash" {
			u.add(filepath.Join(box, f.Name()))
		}
	}
	f, err := os.CreateTemp(filepath.Join(box, "tmp"), sizeFile)
	if err != nil {
		return u, err
	}
	_, err = fmt.Fprintf(f, "%s\n%d %d\n", q.line(), u.bytes, u.messages)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(box, sizeFile))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return u, err
}

// sized finds the size in a message's name.
var sized = regexp.MustCompile(`,S=([0-9]+)`)

// add counts the messages of one folder.
func (u *usage) add(folder string) {
	for _, part := range []string{"new", "cur"} {
		names, err := os.ReadDir(filepath.Join(folder, part))
		if err != nil {
			continue // no Maildir, or one without mail
		}
		for _, name := range names {
			if strings.HasPrefix(name.Name(), ".") {
				continue
			}
			size, err := sizeOf(name)
			if err == nil {
				u.bytes += size
				u.messages++
			}
		}
	}
}

func sizeOf(name fs.DirEntry) (int64, error) {
	if m := sized.FindStringSubmatch(name.Name()); m != nil {
		return strconv.ParseInt(m[1], 10, 64)
	}
	info, err := name.Info()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// count notes a message that was added. A note that is lost is found by the next
// recount.
func (q Quota) count(box string, size int64) {
	if q.zero() {
		return
	}
	f, err := os.OpenFile(filepath.Join(box, sizeFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	var line bytes.Buffer
	fmt.Fprintf(&line, "%d 1\n", size)
	_, _ = f.Write(line.Bytes())
	_ = f.Close()
}
