package window

import (
	"fmt"
	"testing"
	"time"

	"quorumta/internal/mail"
)

// What is urgent goes first, and what is not is not forgotten.
func TestRanks(t *testing.T) {
	var r ranks
	add := func(p mail.Priority, n int) {
		for i := range n {
			r.push(&Job{Sender: fmt.Sprint(i), Priority: p})
		}
	}
	add(-4, 100)
	add(0, 100)
	if j := r.pop(); j.Priority != 0 {
		t.Errorf("the first has priority %d", j.Priority)
	}
	add(9, 100)
	served := map[mail.Priority]int{}
	for range 80 {
		served[r.pop().Priority]++
	}
	if served[9] != 70 || served[0] != 5 || served[-4] != 5 {
		t.Errorf("of 80: %v", served)
	}
	left := r.len()
	r.pushFront(r.pop())
	r.filter(func(j *Job) bool { return j.Priority != 0 })
	if r.len() != left-94 {
		t.Errorf("%d left of %d", r.len(), left)
	}
	if old := r.waitingSince(time.Now(), 40); len(old) != 40 || r.len() != left-94-40 {
		t.Errorf("%d taken, %d left", len(old), r.len())
	}
	for r.pop() != nil {
	}
	if r.len() != 0 || len(r.list) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEvict(t *testing.T) {
	var r ranks
	r.push(&Job{Priority: 0})
	r.push(&Job{Priority: -3})
	if j := r.evict(-3); j != nil {
		t.Errorf("one of priority %d made room for an equal", j.Priority)
	}
	if j := r.evict(0); j == nil || j.Priority != -3 || r.len() != 1 {
		t.Errorf("%+v, %d left", j, r.len())
	}
	if j := r.evict(0); j != nil {
		t.Error("an equal made room")
	}
}

// Where no more fits, what is urgent takes the place of what is not, which the
// index has still.
func TestUrgentMailHasRoom(t *testing.T) {
	l := newLanes(400)
	for i := range 1000 {
		l.put(fmt.Sprint("a", i), "dead")
	}
	before := l.Load().Jobs
	k := Key{l.o, "urgent"}
	if !l.Admit(k) {
		t.Fatal("not admitted")
	}
	l.Add(&Job{Key: k, Recipients: []uint32{0}, Priority: 5}, l.site("dead"))
	l.Routed(k)
	if got := l.Load().Jobs; got != before {
		t.Errorf("%d jobs, before %d", got, before)
	}
	lane := l.lanes["dead"]
	if j := l.Next(lane, 0); j == nil || j.Key != k {
		t.Errorf("%+v is next", j)
	}
	known := 0
	for i := range 1000 {
		if k := (Key{l.o, mail.MessageID(fmt.Sprint("a", i))}); l.entries[k] != nil {
			known++
		}
	}
	if known != before-1 {
		t.Errorf("%d of the others are known, %d were", known, before)
	}
}
