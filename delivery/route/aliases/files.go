package aliases

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// maxFile is the largest file, in bytes.
	maxFile = 256 << 20
	// rest is for how long a file must not have changed to be read again: who
	// writes it may not be done, and an address that is missing for a moment
	// would bounce.
	rest = time.Second
	// maxIncludes is how deep files include each other.
	maxIncludes = 5
)

// Files are files with aliases, read again when they have changed; safe for
// concurrent use.
type Files struct {
	// Now is the wall clock.
	Now func() time.Time
	// Told, if not nil, gets what is wrong in a file that was read.
	Told func(path string, faults []Fault)

	mu    sync.Mutex
	known map[string]*file
}

// file is one of them as it was read.
type file struct {
	size  int64
	at    time.Time
	table Table  // nil until it is looked up
	text  string // of an included file
}

// Lookup finds the entry under the first of the keys that the file has; they
// are folded. An error says that the file cannot be read.
func (f *Files) Lookup(path string, keys ...string) (key string, e Entry, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, err := f.readLocked(path)
	if err != nil {
		return "", Entry{}, false, err
	}
	if x.table == nil {
		var faults []Fault
		x.table, faults = ParseTable(x.text)
		x.text = ""
		if f.Told != nil && len(faults) > 0 {
			f.Told(path, faults)
		}
	}
	for _, key := range keys {
		if e, ok := x.table[key]; ok {
			return key, e, true, nil
		}
	}
	return "", Entry{}, false, nil
}

// Include puts what included files say in the place of the items that name
// them. An error says which file cannot be read, or what in it is wrong.
func (f *Files) Include(items []Item) ([]Item, error) { return f.include(items, 0) }

func (f *Files) include(items []Item, depth int) ([]Item, error) {
	var all []Item
	for _, item := range items {
		if item.Kind != Include {
			all = append(all, item)
			continue
		}
		if depth == maxIncludes {
			return nil, fmt.Errorf("%s: files include each other too deeply", item.Text)
		}
		text, err := f.text(item.Text)
		if err != nil {
			return nil, err
		}
		inner, err := Parse(text)
		if err == nil {
			inner, err = f.include(inner, depth+1)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item.Text, err)
		}
		if len(inner) == 1 && inner[0].ends() {
			return inner, nil
		}
		all = append(all, inner...)
	}
	return all, nil
}

// text is an included file's.
func (f *Files) text(path string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, err := f.readLocked(path)
	if err != nil {
		return "", err
	}
	if x.table != nil { // the same file is looked up elsewhere
		delete(f.known, path)
		if x, err = f.readLocked(path); err != nil {
			return "", err
		}
	}
	return x.text, nil
}

// readLocked gives a file as it is, or as it was if it is being changed.
func (f *Files) readLocked(path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	x := f.known[path]
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	case x != nil && x.at.Equal(info.ModTime()) && x.size == info.Size():
		return x, nil
	}
	if age := f.Now().Sub(info.ModTime()); x != nil && age >= 0 && age < rest {
		return x, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if int64(len(text)) != info.Size() {
		if x == nil {
			return nil, errors.New(path + ": it is being written")
		}
		return x, nil
	}
	x = &file{size: info.Size(), at: info.ModTime(), text: string(text)}
	if f.known == nil {
		f.known = map[string]*file{}
	}
	f.known[path] = x
	return x, nil
}
