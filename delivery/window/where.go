package window

// Where lists the jobs of a message that is known, and whether recipients of it
// are being routed. The jobs are for reading their Recipients and Lane alone.
func (w *Window) Where(k Key) (jobs []*Job, routing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[k]
	if e == nil {
		return nil, false
	}
	return append(jobs, e.jobs...), e.routing
}
