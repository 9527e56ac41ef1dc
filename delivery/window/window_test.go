package window

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/internal/mail"
)

func TestFair(t *testing.T) {
	var f fair
	for i := range 1000 {
		f.push(&Job{Sender: "mailing", Key: Key{ID: mail.MessageID(fmt.Sprint("m", i))}})
	}
	f.push(&Job{Sender: "one", Key: Key{ID: "o"}})
	first := []mail.MessageID{f.pop().ID, f.pop().ID, f.pop().ID}
	if !slices.Equal(first, []mail.MessageID{"m0", "o", "m1"}) {
		t.Errorf("%v", first)
	}
	f.pushFront(&Job{Sender: "mailing", Key: Key{ID: "again"}})
	if j := f.pop(); j.ID != "again" {
		t.Errorf("put back and not first: %v", j.ID)
	}
	f.filter(func(j *Job) bool { return j.ID != "m2" })
	if f.len() != 997 || f.pop().ID != "m3" {
		t.Errorf("%d left", f.len())
	}
	for f.pop() != nil {
	}
	if f.len() != 0 || len(f.senders) != 0 || len(f.turns) != 0 {
		t.Errorf("%+v", f)
	}
}

func TestWaitingSince(t *testing.T) {
	var f fair
	start := time.Now()
	for i := range 10 {
		f.push(&Job{Sender: fmt.Sprint(i % 3), since: start.Add(time.Duration(i) * time.Second)})
	}
	if old := f.waitingSince(start.Add(5*time.Second), 3); len(old) != 3 || f.len() != 7 {
		t.Errorf("%d taken, %d left", len(old), f.len())
	}
	if old := f.waitingSince(start.Add(5*time.Second), 9); len(old) != 2 || f.len() != 5 {
		t.Errorf("%d taken, %d left", len(old), f.len())
	}
}

// lanes is a window with sites that nobody connects to.
type lanes struct {
	*Window
	o     Office
	sites *site.Set
}

func newLanes(jobs int) lanes {
	l := lanes{
		Window: New(Limits{Jobs: jobs, Connections: 500, Patience: 15 * time.Minute, Pressed: func() bool { return false }}, time.Now),
		o:      Office{1, 1},
		sites:  site.New(site.Options{}),
	}
	l.Enter(l.o)
	return l
}

func (l lanes) site(name string) *site.Site {
	return l.sites.Site(route.Target{Key: name, Hosts: []route.Host{{Name: name, Addr: netip.MustParseAddr("192.0.2.1")}}})
}

// put admits a message with one job.
func (l lanes) put(id, where string) (j *Job, start bool) {
	k := Key{l.o, mail.MessageID(id)}
	if !l.Admit(k) {
		return nil, false
	}
	defer l.Routed(k)
	j = &Job{Key: k, Recipients: []uint32{0}}
	return j, l.Add(j, l.site(where))
}

func TestWindowShare(t *testing.T) {
	l := newLanes(400)
	started := 0
	for i := range 1000 {
		if _, start := l.put(fmt.Sprint("a", i), "dead"); start {
			started++
		}
	}
	if got := l.Load(); started != 5 || got.Jobs != 100+0 && got.Jobs != 105 {
		t.Errorf("started %d, holds %+v", started, got)
	}
	if j, start := l.put("b", "alive"); j == nil || !start {
		t.Error("a full site keeps another waiting")
	}
	if j, _ := l.put("b", "alive"); j != nil {
		t.Error("a known message is admitted twice")
	}
	if meals, _ := l.Appetite(); meals != 0 {
		t.Error("hungry while the lane is full")
	}
	_, hunger := l.Appetite()
	lane := l.lanes["dead"]
	for lane.queue.len() > 0 {
		l.Done(l.Next(lane, 0), time.Time{})
	}
	if meals, _ := l.Appetite(); meals != 1 {
		t.Errorf("%d sweeps are asked for when the lane has run dry, want one", meals)
	}
	select {
	case <-hunger:
	default:
		t.Error("nobody is told that the lane has run dry")
	}
}

// TestWindowInLittleMemory: fewer workers begin while memory is short.
func TestWindowInLittleMemory(t *testing.T) {
	l := newLanes(100_000)
	l.limits.Connections, l.limits.Pressed = 16, func() bool { return true }
	started := 0
	for i := range 20 {
		if _, start := l.put(fmt.Sprint(i), fmt.Sprint("site", i)); start {
			started++
		}
	}
	if started != 2 || l.Load().Waiting != 20 {
		t.Errorf("%d workers, %+v", started, l.Load())
	}
	l.limits.Pressed = func() bool { return false }
	if n := len(l.Starts()); n != 14 {
		t.Errorf("%d more workers begin when there is memory again, want 14", n)
	}
}

func TestWindowHandsToIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(100_000)
		j, _ := l.put("1", "x")
		if l.Next(j.Lane, 0) != j {
			t.Fatal("not the job")
		}
		got := make(chan *Job, 1)
		go func() { got <- l.Next(j.Lane, time.Second) }()
		synctest.Wait()
		second, start := l.put("2", "x")
		if start || <-got != second {
			t.Error("the idle worker was passed over")
		}
		began := time.Now()
		if l.Next(j.Lane, time.Second) != nil || time.Since(began) != time.Second {
			t.Error("an idle worker ends after its time")
		}
		go func() { got <- l.Next(j.Lane, time.Hour) }()
		synctest.Wait()
		l.Close()
		if <-got != nil {
			t.Error("an idle worker ends when the window closes")
		}
	})
}

// TestWindowForgets: an office that ends takes what waits of it along, and what
// another office has of the same message is another thing.
func TestWindowForgets(t *testing.T) {
	l := newLanes(100_000)
	j, _ := l.put("1", "x")
	l.put("2", "x")
	if l.Next(j.Lane, 0) == nil {
		t.Fatal("no job")
	}
	old := l.o
	l.Leave(old)
	if got := l.Load(); got.Jobs != 0 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
	l.Requeue(j)
	l.Done(j, time.Now())
	if got := l.Load(); got.Waiting != 0 || len(l.alarms) != 0 {
		t.Errorf("a job of an office that is gone comes back: %+v", got)
	}
	l.o = Office{1, 2}
	l.Enter(l.o)
	if again, _ := l.put("1", "x"); again == nil {
		t.Error("the next office does not find it")
	}
}

// TestWindowAlarms: recipients that are due again are found while others of
// the message still wait.
func TestWindowAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(100_000)
		k := Key{l.o, "1"}
		l.Admit(k)
		a := &Job{Key: k, Recipients: []uint32{0}}
		b := &Job{Key: k, Recipients: []uint32{1, 2}}
		l.Add(a, l.site("x"))
		l.Add(b, l.site("y"))
		l.Routed(k)
		l.Done(a, time.Now().Add(time.Minute))
		if len(l.Rung()) != 0 {
			t.Error("too early")
		}
		time.Sleep(time.Minute)
		if got := l.Rung(); !slices.Equal(got, []Key{k}) {
			t.Errorf("%v", got)
		}
		busy, ok := l.Readmit(k)
		if !ok || !slices.Equal(busy, []uint32{1, 2}) {
			t.Errorf("%v %v", busy, ok)
		}
		if _, ok := l.Readmit(k); ok {
			t.Error("routed twice at once")
		}
		l.Routed(k)
		l.Done(b, time.Time{})
		if len(l.entries) != 0 || len(l.alarms) != 0 {
			t.Error("the last job leaves something behind")
		}
	})
}

func TestWindowImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(100_000)
		for i := range 8 {
			l.put(fmt.Sprint(i), "x")
		}
		s := l.site("x")
		time.Sleep(16 * time.Minute)
		if len(l.Impatient(100)) != 0 {
			t.Error("a site that is only slow")
		}
		s.Refused(site.Failure{Host: "x"})
		if got := l.Impatient(6); len(got) != 6 || l.Load().Waiting != 2 {
			t.Errorf("%d, %+v", len(got), l.Load())
		}
	})
}
