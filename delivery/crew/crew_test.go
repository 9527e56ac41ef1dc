package crew

import (
	"sync/atomic"
	"testing"
)

func TestTasksRunAtOnceAndWaitSeesThemAll(t *testing.T) {
	var c Crew
	var ran atomic.Int64
	for range 3 {
		gate := make(chan struct{})
		for range 200 {
			c.Go(func() { <-gate; ran.Add(1) }) // none ends before all have begun
		}
		close(gate)
		c.tasks.Wait()
	}
	c.Go(func() { c.Go(func() { ran.Add(1) }) })
	c.Wait()
	if n := ran.Load(); n != 601 {
		t.Errorf("%d tasks ran, want 601", n)
	}
}

func TestGoroutinesAreKept(t *testing.T) {
	var c Crew
	task := func() {}
	c.Go(task)
	c.tasks.Wait()
	if n := testing.AllocsPerRun(1000, func() { c.Go(task); c.tasks.Wait() }); n > 1 {
		t.Errorf("a task costs %v allocations", n)
	}
	c.Wait()
}
