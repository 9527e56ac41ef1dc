package window

import (
	"slices"
	"time"
)

// turn is who takes turns: a sender, apart for each office. So the mail of a
// shard that was taken over moves at once, however much of our own waits.
type turn struct {
	office Office
	sender string
}

// fair is a queue that serves its senders in turn, the messages of each in the
// order they came: a mailing of many messages delays nobody else's one.
type fair struct {
	senders map[turn][]*Job
	// turns are the senders with something to send, the next one first.
	turns []turn
	n     int
}

func (j *Job) turn() turn { return turn{j.Office, j.Sender} }

func (f *fair) len() int { return f.n }

func (f *fair) push(j *Job) {
	if f.senders == nil {
		f.senders = map[turn][]*Job{}
	}
	t := j.turn()
	list := f.senders[t]
	if len(list) == 0 {
		f.turns = append(f.turns, t)
	}
	f.senders[t] = append(list, j)
	f.n++
}

// pushFront puts back what was popped and could not be done.
func (f *fair) pushFront(j *Job) {
	t := j.turn()
	list := f.senders[t]
	if len(list) == 0 {
		f.push(j)
		return
	}
	f.senders[t] = slices.Insert(list, 0, j)
	f.n++
}

// pop takes the next job; nil if there is none.
func (f *fair) pop() *Job {
	if f.n == 0 {
		return nil
	}
	t := f.turns[0]
	f.turns = f.turns[1:]
	list := f.senders[t]
	j := list[0]
	list[0] = nil
	f.n--
	if len(list) == 1 {
		delete(f.senders, t)
		return j
	}
	f.senders[t] = list[1:]
	f.turns = append(f.turns, t)
	return j
}

// waitingSince takes at most n jobs that have waited since before t.
func (f *fair) waitingSince(t time.Time, n int) []*Job {
	var old []*Job
	f.filter(func(j *Job) bool {
		if len(old) == n || !j.since.Before(t) {
			return true
		}
		old = append(old, j)
		return false
	})
	return old
}

// filter keeps the jobs for which keep says so.
func (f *fair) filter(keep func(*Job) bool) {
	f.turns = slices.DeleteFunc(f.turns, func(t turn) bool {
		list := f.senders[t]
		before := len(list)
		list = slices.DeleteFunc(list, func(j *Job) bool { return !keep(j) })
		f.n -= before - len(list)
		if len(list) == 0 {
			delete(f.senders, t)
			return true
		}
		f.senders[t] = list
		return false
	})
}
