package stream

import "io"

// View is a state that is written as a stream.
type View interface {
	// WriteTo writes the whole stream.
	WriteTo(w io.Writer) (int64, error)
	// Close ends the view; it comes after WriteTo.
	Close()
}

// live is a stream of a view that is written while it is read.
type live struct {
	*io.PipeReader
	done chan struct{}
}

// Live is the stream of a view, written while it is read. Closing it closes the
// view.
func Live(view View) io.ReadCloser {
	r, w := io.Pipe()
	l := &live{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer view.Close()
		_, err := view.WriteTo(w)
		w.CloseWithError(err)
	}()
	return l
}

// Close ends the writing.
func (l *live) Close() error {
	err := l.PipeReader.Close()
	<-l.done
	return err
}
