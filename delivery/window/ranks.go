package window

import (
	"slices"
	"time"

	"quorumta/internal/mail"
)

// ranks is a queue that serves messages of higher priority first, and those of
// one priority fairly (RFC 6710). Of so many in a row one is of a lower priority,
// so that nothing waits for ever behind what is urgent.
type ranks struct {
	// list is by priority, the highest first, none of them empty.
	list []rank
	n    int
	// row counts what was served in a row while lower ones waited; next is whose
	// turn is among these.
	row, next int
}

type rank struct {
	priority mail.Priority
	fair
}

// longestRow is how many are served in a row while others of a lower priority
// wait.
const longestRow = 8

func (r *ranks) len() int { return r.n }

// at is the rank of a priority, which is made where there is none.
func (r *ranks) at(p mail.Priority) *rank {
	i := slices.IndexFunc(r.list, func(x rank) bool { return x.priority <= p })
	if i < 0 {
		i = len(r.list)
	}
	if i == len(r.list) || r.list[i].priority != p {
		r.list = slices.Insert(r.list, i, rank{priority: p})
	}
	return &r.list[i]
}

func (r *ranks) push(j *Job) {
	r.at(j.Priority).push(j)
	r.n++
}

// pushFront puts back what was popped and could not be done.
func (r *ranks) pushFront(j *Job) {
	r.at(j.Priority).pushFront(j)
	r.n++
}

// pop takes the next job; nil if there is none.
func (r *ranks) pop() *Job {
	if r.n == 0 {
		return nil
	}
	i := 0
	if lower := len(r.list) - 1; lower > 0 {
		if r.row++; r.row == longestRow {
			r.row = 0
			i = 1 + r.next%lower
			r.next++
		}
	}
	j := r.list[i].pop()
	r.n--
	r.tidy(i)
	return j
}

// evict takes a job of a lower priority than the given one; nil if there is none.
func (r *ranks) evict(p mail.Priority) *Job {
	last := len(r.list) - 1
	if last < 0 || r.list[last].priority >= p {
		return nil
	}
	j := r.list[last].pop()
	r.n--
	r.tidy(last)
	return j
}

func (r *ranks) tidy(i int) {
	if r.list[i].len() == 0 {
		r.list = slices.Delete(r.list, i, i+1)
	}
}

// waitingSince takes at most n jobs that have waited since before t.
func (r *ranks) waitingSince(t time.Time, n int) []*Job {
	var old []*Job
	for i := range r.list {
		old = append(old, r.list[i].waitingSince(t, n-len(old))...)
	}
	r.recount()
	return old
}

// filter keeps the jobs for which keep says so.
func (r *ranks) filter(keep func(*Job) bool) {
	for i := range r.list {
		r.list[i].filter(keep)
	}
	r.recount()
}

func (r *ranks) recount() {
	r.n = 0
	r.list = slices.DeleteFunc(r.list, func(x rank) bool {
		r.n += x.len()
		return x.len() == 0
	})
}
