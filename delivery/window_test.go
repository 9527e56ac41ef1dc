package delivery

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
		f.push(&job{sender: "mailing", id: mail.MessageID(fmt.Sprint("m", i))})
	}
	f.push(&job{sender: "one", id: "o"})
	first := []mail.MessageID{f.pop().id, f.pop().id, f.pop().id}
	if !slices.Equal(first, []mail.MessageID{"m0", "o", "m1"}) {
		t.Errorf("%v", first)
	}
	f.pushFront(&job{sender: "mailing", id: "again"})
	if j := f.pop(); j.id != "again" {
		t.Errorf("put back and not first: %v", j.id)
	}
	f.filter(func(j *job) bool { return j.id != "m2" })
	if f.len() != 997 || f.pop().id != "m3" {
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
		f.push(&job{sender: fmt.Sprint(i % 3), since: start.Add(time.Duration(i) * time.Second)})
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
	*window
	o     *office
	sites *site.Set
}

func newLanes(l Limits) lanes {
	return lanes{
		window: newWindow(l.filled(), time.Now),
		o:      &office{},
		sites:  site.New(site.Options{}),
	}
}

func (l lanes) site(name string) *site.Site {
	return l.sites.Site(route.Target{Key: name, Hosts: []route.Host{{Name: name, Addr: netip.MustParseAddr("192.0.2.1")}}})
}

// put admits a message with one job.
func (l lanes) put(id, where string) (j *job, start bool) {
	k := entryKey{l.o, mail.MessageID(id)}
	if !l.admit(k) {
		return nil, false
	}
	defer l.routed(k)
	j = &job{office: l.o, id: k.id, recipients: []uint32{0}}
	return j, l.add(j, l.site(where))
}

func TestWindowShare(t *testing.T) {
	l := newLanes(Limits{Window: 400})
	started := 0
	for i := range 1000 {
		if _, start := l.put(fmt.Sprint("a", i), "dead"); start {
			started++
		}
	}
	if got := l.load(); started != 5 || got.jobs != 100+0 && got.jobs != 105 {
		t.Errorf("started %d, holds %+v", started, got)
	}
	if j, start := l.put("b", "alive"); j == nil || !start {
		t.Error("a full site keeps another waiting")
	}
	if j, _ := l.put("b", "alive"); j != nil {
		t.Error("a known message is admitted twice")
	}
	if meals, _ := l.appetite(); meals != 0 {
		t.Error("hungry while the lane is full")
	}
	_, hunger := l.appetite()
	lane := l.window.lanes["dead"]
	for lane.queue.len() > 0 {
		l.done(l.next(lane, 0), time.Time{})
	}
	if meals, _ := l.appetite(); meals != 1 {
		t.Errorf("%d sweeps are asked for when the lane has run dry, want one", meals)
	}
	select {
	case <-hunger:
	default:
		t.Error("nobody is told that the lane has run dry")
	}
}

func TestWindowHandsToIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(Limits{})
		j, _ := l.put("1", "x")
		if l.next(j.lane, 0) != j {
			t.Fatal("not the job")
		}
		got := make(chan *job, 1)
		go func() { got <- l.next(j.lane, time.Second) }()
		synctest.Wait()
		second, start := l.put("2", "x")
		if start || <-got != second {
			t.Error("the idle worker was passed over")
		}
		began := time.Now()
		if l.next(j.lane, time.Second) != nil || time.Since(began) != time.Second {
			t.Error("an idle worker ends after its time")
		}
		go func() { got <- l.next(j.lane, time.Hour) }()
		synctest.Wait()
		l.window.close()
		if <-got != nil {
			t.Error("an idle worker ends when the window closes")
		}
	})
}

// TestWindowForgets: an office that ends takes what waits of it along, and what
// another office has of the same message is another thing.
func TestWindowForgets(t *testing.T) {
	l := newLanes(Limits{})
	j, _ := l.put("1", "x")
	l.put("2", "x")
	if l.next(j.lane, 0) == nil {
		t.Fatal("no job")
	}
	old := l.o
	l.leave(old)
	if got := l.load(); got.jobs != 0 || got.waiting != 0 {
		t.Errorf("%+v", got)
	}
	l.requeue(j)
	l.done(j, time.Now())
	if got := l.load(); got.waiting != 0 || len(l.alarms) != 0 {
		t.Errorf("a job of an office that is gone comes back: %+v", got)
	}
	l.o = &office{}
	if again, _ := l.put("1", "x"); again == nil {
		t.Error("the next office does not find it")
	}
}

// TestWindowAlarms: recipients that are due again are found while others of
// the message still wait.
func TestWindowAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(Limits{})
		k := entryKey{l.o, "1"}
		l.admit(k)
		a := &job{office: l.o, id: "1", recipients: []uint32{0}}
		b := &job{office: l.o, id: "1", recipients: []uint32{1, 2}}
		l.add(a, l.site("x"))
		l.add(b, l.site("y"))
		l.routed(k)
		l.done(a, time.Now().Add(time.Minute))
		if len(l.rung()) != 0 {
			t.Error("too early")
		}
		time.Sleep(time.Minute)
		if got := l.rung(); !slices.Equal(got, []entryKey{k}) {
			t.Errorf("%v", got)
		}
		busy, ok := l.readmit(k)
		if !ok || !slices.Equal(busy, []uint32{1, 2}) {
			t.Errorf("%v %v", busy, ok)
		}
		if _, ok := l.readmit(k); ok {
			t.Error("routed twice at once")
		}
		l.routed(k)
		l.done(b, time.Time{})
		if len(l.entries) != 0 || len(l.alarms) != 0 {
			t.Error("the last job leaves something behind")
		}
	})
}

func TestWindowImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(Limits{})
		for i := range 8 {
			l.put(fmt.Sprint(i), "x")
		}
		s := l.site("x")
		time.Sleep(16 * time.Minute)
		if len(l.impatient(100)) != 0 {
			t.Error("a site that is only slow")
		}
		s.Refused(site.Failure{Host: "x"})
		if got := l.impatient(6); len(got) != 6 || l.load().waiting != 2 {
			t.Errorf("%d, %+v", len(got), l.load())
		}
	})
}
